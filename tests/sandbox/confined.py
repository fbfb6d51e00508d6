"""Runs a program behind the guards alone, with no namespaces: what it then cannot do, Landlock or the filter refused.

`strict` starts the program in a fresh interpreter after the guards are up; `restricted`, which may not exec, runs it in
the interpreter that put them up.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.runner.sandbox.inside import landlock

ROOT = Path(__file__).parents[2]
ROOT_USER = os.getuid() == 0
#: Who the programs run as: root becomes others, anybody else stays who they are.
USERS = {"root": 0, "nobody": 65534} if ROOT_USER else {"myself": os.getuid()}
NEEDED = pytest.mark.skipif(landlock.abi() < 6, reason="the kernel's Landlock is too old")
SECONDS = 30

LAUNCHER = """
import json, os, sys
job = json.loads(sys.argv[1])
sys.path.insert(0, job["root"])
from services.runner.sandbox.inside import landlock, seccomp, syscall_policy
sys.path.pop(0)
strict = job["level"] == "strict"
policy = syscall_policy.strict(unix_sockets=job["unix_sockets"]) if strict else syscall_policy.restricted()
compiled = seccomp.compile_policy(policy)
if os.getuid() != job["user"]:
    os.setgroups([])
    os.setresgid(*[job["user"]] * 3)
    os.setresuid(*[job["user"]] * 3)
landlock.restrict(job["read"], job["write"], execute=strict)
compiled.load(os.getpid())
if strict:
    os.execv(job["argv"][0], job["argv"])
sys.argv = ["main.py"]
exec(compile(job["code"], "main.py", "exec"), {"__name__": "__main__"})
"""

#: Makes calls by number, past the C library: the name of the error, or what was returned.
PRELUDE = """
import ctypes, errno, json, os
N = json.loads({numbers!r})
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
def call(name, *arguments):
    number = N[name] if isinstance(name, str) else name
    returned = _libc.syscall(ctypes.c_long(number), *[
        ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments])
    return errno.errorcode[ctypes.get_errno()] if returned == -1 else returned
"""


@dataclass(frozen=True)
class Confined:
    """A level, a user, and the folder that may be written."""

    level: str
    user: int
    folder: Path
    unix_sockets: bool = True

    @property
    def python(self) -> str:
        """An interpreter that the user can reach."""
        ours = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        if self.user == os.getuid() or all(parent.stat().st_mode & 0o001 for parent in Path(ours).parents):
            return ours
        return "/usr/bin/python3"

    def start(self, code: str, argv: tuple[str, ...] = (), **streams: Any) -> subprocess.Popen[bytes]:
        """Start Python code, or at strict any program."""
        if not Path(self.python).exists():
            pytest.skip("no interpreter here that another user can reach")
        main = self.folder / "main.py"
        main.write_text(code)
        writable = [str(self.folder), "/dev/shm", "/dev/null"] if self.level == "strict" else []
        job = {
            "root": str(ROOT),
            "level": self.level,
            "user": self.user,
            "unix_sockets": self.unix_sockets,
            "read": ["/"],
            "write": writable,
            "code": code,
            "argv": argv or (self.python, "-I", str(main)),
        }
        command = [self.python, "-I", "-c", LAUNCHER, json.dumps(job)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        return subprocess.Popen(command, cwd=self.folder, env=env, **streams)

    def run(self, code: str = "", argv: tuple[str, ...] = (), **streams: Any) -> subprocess.CompletedProcess[bytes]:
        """The end of a program."""
        with self.start(code, argv, **streams) as process:
            try:
                out, err = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def says(self, code: str = "", argv: tuple[str, ...] = (), **streams: Any) -> str:
        """What a program prints that ends well."""
        end = self.run(code, argv, **streams)
        assert end.returncode == 0, end
        return end.stdout.decode().strip()
