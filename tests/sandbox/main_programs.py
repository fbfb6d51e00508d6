"""Programs that show how an interpreter starts, runs and ends main.py: what they do in a box and outside is the same.

What differs on purpose is not in here: stdout is written line by line, and bytecode is not. Nor is an error at exit of a
callback that is no Python function: where there is no frame of the code's, the interpreter shows the one below it, ours.
"""

PROGRAMS = {
    "says something": "print('hello')",
    "does nothing": "",
    "returns 7": "import sys; sys.exit(7)",
    "raises SystemExit": "raise SystemExit",
    "exits with True": "raise SystemExit(True)",
    "exits with -1": "raise SystemExit(-1)",
    "exits with 256": "raise SystemExit(256)",
    "exits with a huge number": "raise SystemExit(2 ** 70)",
    "exits with text": "import sys; sys.exit('so long')",
    "exits with two values": "raise SystemExit(1, 2)",
    "exits with a float": "raise SystemExit(0.5)",
    "exits with what cannot be shown": "class A:\n def __str__(self): raise ValueError\nraise SystemExit(A())",
    "os._exit": "import os; os._exit(9)",
    "aborts": "import os; os.abort()",
    "kills itself": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "reads from null": "import ctypes; ctypes.string_at(0)",
    "raises": "def f():\n    raise ValueError('here')\n\nf()",
    "raises from another": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e",
    "raises while handling": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    [][1]",
    "raises a group": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
    "raises with notes": "e = ValueError('x')\ne.add_note('note')\nraise e",
    "raises what is no Exception": "class Odd(BaseException): pass\nraise Odd('odd')",
    "raises in imported code": "import json\njson.loads('{')",
    "does not compile": "print('never')\nif True\n    pass",
    "is indented wrongly": "if True:\n    x = 1\n  y = 2",
    "has tabs and spaces": "if True:\n\tx = 1\n        y = 2",
    "does not end a string": "x = 'abc",
    "does not end a bracket": "x = (1,\n2",
    "warns of syntax": "x = 1\nprint(x is 1)",
    "interrupts itself": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(5)",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt('mine')",
    "raises a kind of KeyboardInterrupt": "class K(KeyboardInterrupt): pass\nraise K",
    "handles KeyboardInterrupt": (
        "import os, signal\ntry:\n os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt: print('caught')"
    ),
    "asks for handlers": (
        "import signal\nfor n in sorted(signal.valid_signals()):\n h = signal.getsignal(n)\n"
        " if h not in (signal.SIG_DFL, None): print(n, h)\nprint(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    ),
    "asks for its names": "print(sorted(globals()))\nprint(__name__, __file__, __doc__, __package__, __spec__, __cached__)",
    "has a docstring": "'''Mine.'''\nprint(__doc__)",
    "annotates": "x: int = 1\nprint(__annotations__)",
    "asks for its loader": "print(type(__loader__).__name__, __loader__.path, __loader__.name)",
    "asks for its source": (
        "import inspect, sys\ndef f():\n    return 1\nprint(inspect.getsource(f))\nprint(sys.modules['__main__'])"
    ),
    "asks for its arguments": "import sys; print(sys.argv, sys.path[0])",
    "asks for its folder": "import os; print(os.getcwd(), sorted(os.listdir()))",
    "asks for its environment": "import os; print(sorted(os.environ.items())); print(os.getenv('HOME'))",
    "changes its environment": "import os; os.environ['A'] = 'b'; os.system('echo $A $HOME')",
    "asks for its streams": (
        "import sys\nfor s in sys.stdin, sys.stdout, sys.stderr:\n"
        " print(s.encoding, s.errors, s.fileno(), s.name, s.mode, s.isatty(), s.newlines, s.closed)\n"
        "print(sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__)"
    ),
    "asks for encodings": (
        "import sys, locale\nprint(sys.getfilesystemencoding(), sys.getdefaultencoding(), locale.getpreferredencoding(),"
        " sys.flags.utf8_mode, locale.setlocale(locale.LC_CTYPE), sys.getrecursionlimit(), sys.getswitchinterval())"
    ),
    "asks for flags": (
        "import sys\nprint([(n, getattr(sys.flags, n)) for n in dir(sys.flags) if n[0] != '_' and n not in "
        "('dont_write_bytecode', 'no_user_site', 'count', 'index', 'n_fields', 'n_sequence_fields', 'n_unnamed_fields')])"
        "\nprint(sys.warnoptions, sys._xoptions)"
    ),
    "reads lines": "for line in iter(input, 'end'): print(line.upper())",
    "reads beyond the end": "while True: print(input('> '))",
    "reads bytes": "import sys; print(sys.stdin.buffer.read(), sys.stdin.read())",
    "reads by descriptor": "import os; print(os.read(0, 5), os.read(0, 100), os.read(0, 5))",
    "lets a child read on": "import os, sys; print(sys.stdin.readline(), flush=True); os.system('cat')",
    "has not flushed": "import sys; sys.stdout.write('no newline'); sys.stderr.write('nor here')",
    "closes stdout": "import sys; print('x'); sys.stdout.close()",
    "closes the descriptor of stdout": "import os, sys; sys.stdout.write('lost'); os.close(1)",
    "prints after closing stdout": "import sys; sys.stdout.close(); print('x')",
    "sets stdout to None": "import sys; sys.stdout = None; print('x')",
    "sets stdout to what is none": "import sys; sys.stdout = object(); sys.exit(3)",
    "sets stderr to None": "import sys; sys.stderr = None; sys.exit('text')",
    "cannot flush": (
        "import sys\nclass S:\n def write(self, t): pass\n def flush(self): raise OSError('full')\nsys.stdout = S()"
    ),
    "captures stdout": "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as s: print('in')\nprint(s.getvalue())",
    "prints what has no encoding": "print('\\udcff')",
    "has a hook": "import sys\nsys.excepthook = lambda k, e, t: print('hook', k, e, t.tb_lineno)\nraise ValueError(1)",
    "has a hook that exits": "import sys\nsys.excepthook = lambda *a: sys.exit(5)\nraise ValueError(1)",
    "has a hook that raises": "import sys\ndef hook(*a):\n    1 / 0\nsys.excepthook = hook\nraise ValueError(1)",
    "has lost its hook": "import sys\ndel sys.excepthook\nraise ValueError(1)",
    "sees its last error at the end": (
        "import atexit, sys\natexit.register(lambda: print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno))\n"
        "raise ValueError(1)"
    ),
    "runs at exit": "import atexit\natexit.register(print, 'one')\natexit.register(print, 'two')\nprint('main')",
    "runs at sys.exit": "import atexit, sys\natexit.register(print, 'one')\nsys.exit(4)",
    "raises at exit": "import atexit\n@atexit.register\ndef last():\n    raise ValueError('late')\nprint('main')",
    "exits at exit": "import atexit, sys\n@atexit.register\ndef last():\n    sys.exit(6)\nprint('main')",
    "is outlived by a thread": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\nprint('main')"
    ),
    "is outlived by a thread that it does not wait for": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('main')"
    ),
    "raises in a thread": (
        "import threading\ndef f():\n    raise ValueError('in thread')\n"
        "t = threading.Thread(target=f, name='T')\nt.start(); t.join()"
    ),
    "exits in a thread": "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join(); print(1)",
    "names its threads": "import threading\nprint(threading.current_thread(), threading.main_thread().name, threading.active_count())",
    "waits with an executor": (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as e: print(sum(e.map(abs, range(9))))"
    ),
    "deletes at the end": "NAME = 'x'\nclass A:\n def __del__(self): print('bye', NAME)\na = A()",
    "deletes a circle at the end": (
        "class A:\n def __del__(self): print('bye', type(self).__name__)\na = A(); a.a = a; b = [a]\nprint('main')"
    ),
    "deletes after an error": "class A:\n def __del__(self): print('bye')\na = A()\nraise ValueError(1)",
    "finalizes": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'final')\nprint('main')",
    "collects": (
        "import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.get_debug())\nclass A: pass\n"
        "import weakref\na = A(); a.a = a; w = weakref.ref(a); del a\nx = [[] for _ in range(100000)]\nprint(w())"
    ),
    "leaves a coroutine": "async def f(): pass\nf()",
    "leaves a generator": "def g():\n try: yield 1\n finally: print('closed')\nx = g(); next(x)",
    "runs asyncio": "import asyncio\nasync def f():\n await asyncio.sleep(0.01); return 5\nprint(asyncio.run(f()))",
    "runs a child by asyncio": (
        "import asyncio\nasync def f():\n p = await asyncio.create_subprocess_exec('echo', 'child', stdout=-1)\n"
        " print(await p.communicate())\nasyncio.run(f())"
    ),
    "runs children": (
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(2 + 2)'], capture_output=True))\n"
        "subprocess.run('echo to stdout; echo to stderr >&2; exit 3', shell=True, stdout=subprocess.DEVNULL)\n"
        "print(subprocess.run(['false']).returncode)"
    ),
    "starts what is not there": "import subprocess; subprocess.run(['/no/such'])",
    "forks": "import os\nif os.fork() == 0:\n print('child', flush=True); os._exit(0)\nprint(os.wait()[1])",
    "forks and raises": "import os\nif os.fork() == 0: raise ValueError('child')\nprint(os.WEXITSTATUS(os.wait()[1]))",
    "maps by processes that fork": (
        "import multiprocessing as m\nif __name__ == '__main__':\n"
        " with m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))"
    ),
    "maps by processes that spawn": (
        "import multiprocessing as m\ndef f(x): return x * x\nif __name__ == '__main__':\n"
        " with m.get_context('spawn').Pool(2) as p: print(p.map(f, [1, 2]))"
    ),
    "maps by processes of a server": (
        "import multiprocessing as m\ndef f(q): q.put(7)\nif __name__ == '__main__':\n c = m.get_context('forkserver')\n"
        " q = c.Queue(); p = c.Process(target=f, args=(q,)); p.start(); print(q.get()); p.join(); print(p.exitcode)"
    ),
    "shares memory": (
        "from multiprocessing import shared_memory as s\nm = s.SharedMemory(create=True, size=10)\nm.buf[0] = 5\n"
        "n = s.SharedMemory(m.name); print(n.buf[0]); n.close(); m.close(); m.unlink()"
    ),
    "has a manager": (
        "import multiprocessing as m\nif __name__ == '__main__':\n with m.Manager() as x:\n"
        "  d = x.dict(a=1); d['b'] = 2; print(dict(d))"
    ),
    "uses dataclasses": "from dataclasses import dataclass\n@dataclass\nclass A:\n x: int = 1\nprint(A())",
    "pickles its own": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))))",
    "imports itself": "import sys, importlib\nprint('run', __name__)\nif __name__ == '__main__': import main; print(main.__file__)",
    "imports its neighbour": (
        "open('neighbour.py', 'w').write('x = __file__')\nimport neighbour; print(neighbour.x, neighbour.__name__)"
    ),
    "imports what is not there": "import neighbours",
    "imports the future": "from __future__ import annotations\ndef f(x: y): pass\nprint(f.__annotations__)",
    "ignores the future of others": "def f(x: int): pass\nprint(f.__annotations__)",
    "executes code": "exec('print(__name__, sorted(locals())[:2])')\nprint(eval('1 + 1'))",
    "uses files": (
        "import tempfile, os, pathlib\nwith tempfile.TemporaryDirectory() as d:\n p = pathlib.Path(d, 'a'); p.write_text('x')\n"
        " print(p.read_text(), os.stat(p).st_size)\nprint(os.path.exists(d))"
    ),
    "uses a database": (
        "import sqlite3\nc = sqlite3.connect('a.db'); c.execute('create table t(x)'); c.execute('insert into t values (1)')\n"
        "c.commit(); print(c.execute('select * from t').fetchall())"
    ),
    "writes to null": "open('/dev/null', 'w').write('x'); print(open('/dev/zero', 'rb').read(2))",
    "profiles": "import cProfile, pstats\np = cProfile.Profile(); p.enable(); sum(range(9)); p.disable(); print(p.getstats() != [])",
    "traces": (
        "import sys\nseen = []\nsys.settrace(lambda f, e, a: seen.append((f.f_code.co_name, e)))\ndef f(): pass\nf()\n"
        "sys.settrace(None); print(seen)"
    ),
    "breaks into a debugger": "breakpoint()\nprint('on')",
    "deletes __main__": "import sys\ndel sys.modules['__main__']\nprint('on')",
    "spoils what ends it": (
        "import atexit, builtins, gc, os, sys, threading\nthreading._shutdown = atexit._run_exitfuncs = gc.collect = None\n"
        "sys.modules.clear()\nbuiltins.isinstance = builtins.type = None\nos._exit(4)"
    ),
    "ends amid threads": (
        "import threading, os, time\nfor _ in range(8): threading.Thread(target=lambda: sum(range(10**5))).start()\nprint(1)"
    ),
}

SOURCES = {
    "UTF-8": "print('ä€😀')".encode(),
    "a byte order mark": b"\xef\xbb\xbfprint('bom')",
    "Latin 1, declared": "# -*- coding: latin-1 -*-\nprint('ä')".encode("latin-1"),
    "Windows lines": b"x = 1\r\nprint(x)\r\n",
    "Mac lines": b"x = 1\rprint(x)\r",
    "a form feed": b"\x0cprint(1)\n",
    "no last newline": b"if True:\n    print(1)",
    "a hash bang": b"#!/usr/bin/env python3\nprint(1)",
}
