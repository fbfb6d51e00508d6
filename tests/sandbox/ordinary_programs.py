"""Programs that nothing is wrong with: each prints 190, and needs much of what its kind of program needs."""

ORDINARY = {
    "threads": """
import threading, queue
q = queue.Queue()
threads = [threading.Thread(target=q.put, args=(n,)) for n in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sum(q.get() for _ in threads))""",
    "asyncio": """
import asyncio
async def main():
    await asyncio.gather(*[asyncio.sleep(0.01) for _ in range(50)], asyncio.to_thread(sum, range(9)))
    async with asyncio.timeout(5): return 190
print(asyncio.run(main()))""",
    "time and memory": """
import time, mmap, array, resource, signal, os, random, select
time.sleep(0.01); time.thread_time(); time.process_time(); os.urandom(8); os.sched_getaffinity(0); os.times()
mmap.mmap(-1, 1 << 20).close(); bytearray(64 << 20); resource.getrusage(resource.RUSAGE_SELF)
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); os.cpu_count(); os.getpgrp(); os.getsid(0)
caught = []; signal.signal(signal.SIGUSR1, lambda *a: caught.append(a)); signal.raise_signal(signal.SIGUSR1)
os.kill(os.getpid(), signal.SIGUSR1); signal.signal(signal.SIGALRM, lambda *a: caught.append(a))
signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
assert len(caught) == 3
import ctypes, ssl, sqlite3, decimal, multiprocessing, concurrent.futures, zoneinfo, socket
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"; a.setblocking(False)
db = sqlite3.connect(":memory:"); db.execute("create table t(a)")
db.executemany("insert into t values(?)", [(95,)] * 2)
print(db.execute("select sum(a) from t").fetchone()[0])""",
}

WITH_CHILDREN = {
    "subprocess": """
import subprocess, sys
out = subprocess.run([sys.executable, "-I", "-c", "print(sum(range(20)))"], capture_output=True, check=True).stdout
assert subprocess.run("exit 3", shell=True).returncode == 3
assert subprocess.run(["cat"], input=b"x" * 100000, capture_output=True, check=True).stdout == b"x" * 100000
p = subprocess.Popen(["sleep", "60"], start_new_session=True); p.terminate(); assert p.wait() == -15
print(out.decode())""",
    **{
        f"multiprocessing {method}": f"""
import multiprocessing as mp
def square(n): return n * n
if __name__ == "__main__":
    mp.set_start_method({method!r})
    with mp.Pool(2) as pool: assert pool.map(square, range(9)) == [n * n for n in range(9)]
    queue = mp.Queue(); child = mp.Process(target=queue.put, args=(190,)); child.start()
    shared = mp.Value("i", 3); lock = mp.Lock()
    with lock: shared.value += 1
    print(queue.get()); child.join(); assert child.exitcode == 0""".strip()
        for method in ("fork", "spawn", "forkserver")
    },
    "asyncio children and sockets": """
import asyncio
async def main():
    child = await asyncio.create_subprocess_exec("echo", "190", stdout=-1)
    out, _ = await child.communicate()
    async def answer(reader, writer): writer.write(await reader.readline()); writer.close()
    server = await asyncio.start_unix_server(answer, "s")
    reader, writer = await asyncio.open_unix_connection("s")
    writer.write(out); print((await reader.read()).decode()); writer.close(); server.close()
asyncio.run(main())""",
    "executors": """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool: print(sum(pool.map(abs, range(20))))""",
    "files": """
import tempfile, sqlite3, os, shutil, pathlib, zipfile, tarfile, stat
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d); (p / "a").write_text("a"); (p / "b").symlink_to("a"); os.link(p / "a", p / "c")
    shutil.copy2(p / "a", p / "d"); (p / "d").chmod(0o755); os.rename(p / "d", p / "e"); os.mkfifo(p / "f")
    os.truncate(p / "e", 0); os.utime(p / "e"); shutil.make_archive(d + "/z", "zip", d, "a")
    tarfile.open(d + "/t.tgz", "w:gz").add(p / "a")
    shutil.copytree(p, d + "-copy", symlinks=True, ignore=lambda *a: ["f"])
    db = sqlite3.connect(p / "db"); db.execute("pragma journal_mode=wal"); db.execute("create table t(a)")
    with db: db.execute("insert into t values(190)")
    with tempfile.TemporaryFile() as f:
        f.write(b"x"); f.flush(); os.fsync(f.fileno()); os.posix_fallocate(f.fileno(), 0, 9)
    print(db.execute("select a from t").fetchone()[0])""",
    "a box's init": """
import array, os, select, signal, socket
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
read, write = os.pipe()
socket.send_fds(theirs, [b"job"], [write])
message, fds, *_ = socket.recv_fds(ours, 100, 3)
pid = os.fork()
if pid == 0:
    os.setsid(); os.dup2(fds[0], 1); os.closerange(3, 1 << 16); os.write(1, b"190"); os._exit(7)
pidfd = os.pidfd_open(pid)
select.select([pidfd], [], [])
assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT).si_status == 7
assert os.waitstatus_to_exitcode(os.wait4(pid, 0)[1]) == 7
pid = os.fork()
if pid == 0:
    signal.pause()
signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL); os.wait4(-1, 0)
print(os.read(read, 9).decode())""",
}


BASH = """
set -euo pipefail
words() { printf '%s\\n' one two three four; }
words | sort | tr a-z A-Z | head -n 2 > list
cat <(echo first) list <<< ignored | wc -l
for n in $(seq 3); do (exit "$n") || echo "$n"; done
sleep 0.05 & wait; trap 'echo bye' EXIT
mkdir -p a/b; cp -a list a/b; mv a/b/list a; ls -l a >/dev/null; find . -name list | xargs grep -hc FOUR
touch t; chmod 700 t; ln -s t u; rm -rf a t u; date +%s >/dev/null
timeout 5 dd if=/dev/zero bs=1k count=9 2>/dev/null | wc -c
"""


GO = """package main
import ("fmt"; "os"; "os/exec"; "sync"; "time"; "io"; "net")
func main() {
    var group sync.WaitGroup; sum := make(chan int, 20)
    for n := range 20 { group.Add(1); go func() { defer group.Done(); time.Sleep(time.Millisecond); sum <- n }() }
    group.Wait(); close(sum); total := 0; for n := range sum { total += n }
    if err := os.WriteFile("go.txt", []byte("x"), 0o644); err != nil { panic(err) }
    from, _ := os.Open("go.txt"); to, _ := os.Create("copy.txt")
    if _, err := io.Copy(to, from); err != nil { panic(err) }
    out, err := exec.Command("cat", "copy.txt").Output(); if err != nil || string(out) != "x" { panic(err) }
    if _, err := net.Dial("tcp", "127.0.0.1:1"); err == nil { panic("network") }
    fmt.Println(total)
}"""
