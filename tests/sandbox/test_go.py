"""Go through a whole runner: what it promises to honest code, and what dishonest code gets."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from services.runner.languages.compiled_programs import CompiledPrograms
from services.runner.languages.go import Go
from services.runner.languages.language import MissingToolError, Program, Refused
from services.runner.limits import compile_limits, granted
from services.runner.main import sandbox_plan
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import Box, BoxEnd, BoxJob, BoxLimits, EndedBy
from services.runner.sandbox.sandbox import open_sandbox
from taskandgo.messages import ChunkStarted, TaskCancelled
from taskandgo.task import Limits
from taskandgo.words import Outcome
from tests.sandbox.runner_at_work import Running, at_work, settings

MIB = 1024 * 1024
HELLO = 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }'


@pytest.fixture(scope="module")
async def runner() -> AsyncIterator[Running]:
    """A runner that gives a compiler little time and memory."""
    async with at_work(runner_compile_timeout_seconds=5, runner_compile_memory_bytes=256 * MIB) as running:
        yield running


def never_seen(code: str) -> str:
    """The code, with a comment that no other code has."""
    return f"{code}\n// {uuid4()}\n"


def slow_to_compile() -> str:
    """Types that double in size 39 times keep the compiler busy for more than a minute."""
    types = "".join(f"type T{n} struct {{ a, b T{n - 1} }}\n" for n in range(1, 40))
    uses = "var x T39\nfunc main() { println(len(any(x).(interface{ F() string }).F())) }"
    return never_seen(f"package main\ntype T0 struct {{ a, b [2]int }}\n{types}{uses}")


async def refused(runner: Running, code: str) -> str:
    """What the compiler says of the code that it does not compile."""
    result = await runner.result(code, "go")
    assert (result.outcome, result.stdout) == (Outcome.COMPILE_FAILED, b""), result
    return result.stderr.decode()


class TestHonestCode:
    async def test_it_runs(self, runner: Running) -> None:
        result = await runner.result(HELLO, "go")
        assert (result.outcome, result.stdout, result.exit_code) == (Outcome.SUCCEEDED, b"hello\n", 0), result
        assert result.usage.compile_seconds > 0

    async def test_a_panic_names_its_line_and_nothing_of_the_machine(self, runner: Running) -> None:
        code = 'package main\nimport "strings"\nfunc main() {\n\tstrings.Map(func(rune) rune { panic("here") }, "x")\n}'
        result = await runner.result(code, "go")
        assert (result.outcome, result.exit_code) == (Outcome.FAILED, 2)
        assert b"panic: here" in result.stderr
        assert b"\tmain.go:4" in result.stderr
        assert b"\tstrings/strings.go:" in result.stderr

    async def test_a_compile_error_reads_as_the_compiler_says_it(self, runner: Running) -> None:
        said = await refused(runner, "package main\nfunc main() {\n\tundefined()\n}")
        assert said == "main.go:3:2: undefined: undefined\n"

    async def test_it_sees_what_it_is_given_and_its_share_of_the_machine(self, runner: Running) -> None:
        code = """package main
import ("fmt"; "io"; "os"; "runtime"; "runtime/debug")
func main() {
    given, _ := io.ReadAll(os.Stdin)
    fmt.Println(string(given), os.Getenv("CHUNK_INDEX"), os.Getenv("OWN"), os.Args)
    fmt.Println(runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1))
    fmt.Println(os.WriteFile("here", []byte("x"), 0o600), os.WriteFile("/tmp/there", []byte("x"), 0o600))
}"""
        result = await runner.result(
            code, "go", stdin=b"given", env={"OWN": "mine"}, limits=Limits(memory_bytes=100 * MIB)
        )
        processors = min(2, len(os.sched_getaffinity(0)))
        assert result.stdout.decode().splitlines() == [
            "given 0 mine [./main]",
            f"{processors} {90 * MIB}",
            "<nil> <nil>",
        ]

    async def test_goroutines_run_side_by_side(self, runner: Running) -> None:
        code = """package main
import ("fmt"; "sync"; "sync/atomic")
func main() {
    var sum atomic.Int64; var all sync.WaitGroup
    for i := range 1000 { all.Add(1); go func() { defer all.Done(); sum.Add(int64(i)) }() }
    all.Wait(); fmt.Println(sum.Load())
}"""
        assert (await runner.result(code, "go")).stdout == b"499500\n"

    async def test_an_exit_code_is_its_own(self, runner: Running) -> None:
        result = await runner.result('package main\nimport "os"\nfunc main() { os.Exit(7) }', "go")
        assert (result.outcome, result.exit_code) == (Outcome.FAILED, 7)


class TestMemory:
    @pytest.mark.parametrize(
        "grow",
        [
            "var all [][]byte; for { b := make([]byte, 1<<20); for i := range b { b[i] = 1 }; all = append(all, b) }",
            "all := make([]byte, 1<<40); println(len(all))",
            "all := make([]byte, 1<<33); for i := range all { all[i] = 1 }",
            "var f func(int) int; f = func(n int) int { var a [1000]int; a[n%1000] = n; return f(n+1) + a[3] }; f(0)",
        ],
    )
    async def test_who_wants_too_much_is_out_of_memory(self, runner: Running, grow: str) -> None:
        result = await runner.result(
            f"package main\nfunc main() {{ {grow} }}", "go", limits=Limits(memory_bytes=128 * MIB)
        )
        assert (result.outcome, result.reason) == (
            Outcome.OUT_OF_MEMORY,
            "used more memory than its limit of 128 MiB",
        ), result

    async def test_garbage_counts_for_nothing(self, runner: Running) -> None:
        code = (
            "package main\nvar x []byte\n"
            "func main() { for range 2000 { x = make([]byte, 1<<20); for i := 0; i < len(x); i += 4096 { x[i] = 1 } } }"
        )
        result = await runner.result(code, "go", limits=Limits(memory_bytes=32 * MIB))
        assert result.outcome is Outcome.SUCCEEDED, result


class TestTricks:
    @pytest.mark.parametrize(
        "package", ["internal/abi", "vendor/golang.org/x/net/dns/dnsmessage", "C", "plugin", "example.com/no/such"]
    )
    async def test_only_public_packages_of_the_standard_library_can_be_imported(
        self, runner: Running, package: str
    ) -> None:
        said = await refused(runner, f'package main\nimport _ "{package}"\nfunc main() {{}}')
        assert f"main.go:2:10: could not import {package} " in said

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ('import "embed"\n//go:embed main.go\nvar f embed.FS', "invalid go:embed"),
            ('import _ "embed"\n//go:embed /etc/passwd\nvar f string', "invalid go:embed"),
            ("/*\n#cgo LDFLAGS: -Wl,--version\n*/\nimport \"C\"", "could not import C"),
            ('//go:cgo_ldflag "-plugin=x"', "only allowed in cgo-generated code"),
            ('import _ "unsafe"\n//go:linkname x runtime.exit\nfunc x(int32)\nfunc init() { x(3) }', "runtime.exit"),
            ('import _ "unsafe"\n//go:linkname x os.runtime_beforeExit\nfunc x(int) {}', "duplicated definition"),
            ("func assembled()", "missing function body"),
            ("const a = 1 << 500\nconst b = a * a", "overflow"),
            ("func f[T any](n int) { f[[2]T](n - 1) }", "instantiation cycle"),
            ("var x [1 << 34]byte\nfunc init() { x[0] = 1 }", "too large"),
        ],
    )  # fmt: skip
    async def test_what_reaches_beyond_the_language_is_refused(self, runner: Running, code: str, said: str) -> None:
        assert said in await refused(runner, f"package main\n{code}\nfunc main() {{}}")

    @pytest.mark.parametrize("code", ["package other\nfunc main() {}", "package main\nfunc Main() {}"])
    async def test_what_is_no_program_is_refused(self, runner: Running, code: str) -> None:
        assert "main" in await refused(runner, code)

    async def test_directives_of_the_go_command_start_nothing(self, runner: Running) -> None:
        code = (
            '//go:build ignore\n//go:generate sh -c "echo made >&2"\n//go:debug panicnil=1\n'
            '//line /etc/passwd:1\npackage main\n//go:cgo_import_dynamic x system "libc.so.6"\n'
            "func main() { println(1) }"
        )
        result = await runner.result(code, "go")
        assert (result.outcome, result.stderr) == (Outcome.SUCCEEDED, b"1\n")

    async def test_a_run_may_start_other_programs_but_has_no_network(self, runner: Running) -> None:
        code = """package main
import ("fmt"; "net"; "os/exec")
func main() {
    out, err := exec.Command("echo", "child").Output(); fmt.Printf("%s%v\\n", out, err)
    _, err = net.Dial("tcp", "127.0.0.1:22"); fmt.Println(err != nil)
}"""
        assert (await runner.result(code, "go")).stdout == b"child\n<nil>\ntrue\n"


class TestBombs:
    async def test_a_compiler_out_of_time_is_ended(self, runner: Running) -> None:
        result = await runner.result(slow_to_compile(), "go")
        assert result.outcome is Outcome.COMPILE_FAILED
        # One setting limits both; a compiler that has more than one processor is first at the second.
        assert result.reason in {
            "the compiler was ended: it ran longer than its timeout of 5 s",
            "the compiler was ended: it used more CPU time than its limit of 5 s",
        }

    async def test_a_compiler_out_of_memory_is_ended(self, runner: Running) -> None:
        doubling = "".join(f"func f{n}[T any](t T) {{ f{n + 1}(P[T, T]{{t, t}}) }}\n" for n in range(23))
        last = "func f23[T any](t T) { println(any(t) != nil) }\nfunc main() { f0(1) }"
        code = f"package main\ntype P[A, B any] struct {{ a A; b B }}\n{doubling}{last}"
        result = await runner.result(code, "go")
        assert (result.outcome, result.reason) == (
            Outcome.COMPILE_FAILED,
            "the compiler was ended: it used more memory than its limit of 256 MiB",
        ), result

    async def test_an_enormous_program_is_refused(self, runner: Running) -> None:
        result = await runner.result("package main\nvar x = [66 << 20]byte{1: 1}\nfunc main() { println(x[0]) }", "go")
        assert result.outcome is Outcome.COMPILE_FAILED
        assert result.reason == f"the compiled program is larger than {64 * MIB} bytes"

    async def test_a_program_that_fills_the_disk_of_its_compiler_is_refused(self, runner: Running) -> None:
        said = await refused(runner, "package main\nvar x = [1 << 28]byte{1: 1}\nfunc main() { println(x[0]) }")
        assert any(end in said for end in ("no space left on device", "file too large", "out of memory"))

    async def test_the_runner_goes_on_after_all_of_them(self, runner: Running) -> None:
        assert (await runner.result(never_seen(HELLO), "go")).stdout == b"hello\n"


class TestOnce:
    async def test_the_same_source_is_compiled_once_for_all_who_ask_at_once(self, runner: Running) -> None:
        code = never_seen(HELLO)
        results = await asyncio.gather(*(runner.result(code, "go") for _ in range(6)))
        assert {result.outcome for result in results} == {Outcome.SUCCEEDED}
        assert len({result.usage.compile_seconds for result in results}) == 1

    async def test_a_refusal_is_remembered(self, runner: Running) -> None:
        code = never_seen("package main\nfunc main() { undefined() }")
        first, again = [await runner.result(code, "go") for _ in range(2)]
        assert first == again
        assert first.outcome is Outcome.COMPILE_FAILED

    async def test_one_who_is_cancelled_ends_at_once_and_leaves_the_others_their_compilation(
        self, runner: Running
    ) -> None:
        code = slow_to_compile()
        cancelled, other = [await runner.submit(code, "go") for _ in range(2)]
        for task_id in (cancelled, other):
            await runner.heard.first(lambda m, t=task_id: isinstance(m, ChunkStarted) and m.task_id == t)  # type: ignore[misc]
        cancelled_at = time.monotonic()
        await runner.broker.publish(TaskCancelled(task_id=cancelled))
        result = (await runner.finished(cancelled)).result
        assert (result.outcome, result.reason) == (Outcome.CANCELLED, "the task was cancelled")
        assert time.monotonic() - cancelled_at < 1
        assert (await runner.finished(other)).result.outcome is Outcome.COMPILE_FAILED

    async def test_a_compilation_that_nobody_waits_for_any_more_is_ended(self, runner: Running) -> None:
        code = slow_to_compile()
        for _again in range(2):
            task_id = await runner.submit(code, "go")
            await runner.heard.first(lambda m, t=task_id: isinstance(m, ChunkStarted) and m.task_id == t)  # type: ignore[misc]
            await runner.broker.publish(TaskCancelled(task_id=task_id))
            assert (await runner.finished(task_id)).result.outcome is Outcome.CANCELLED
        started = time.monotonic()
        assert (await runner.result(never_seen(HELLO), "go")).stdout == b"hello\n"
        assert time.monotonic() - started < 5


class DyingBox:
    """A real box whose first jobs die before they start."""

    def __init__(self, box: Box, deaths: int) -> None:
        self.box = box
        self.deaths = deaths
        self.jobs = 0

    async def run(self, job: BoxJob) -> BoxEnd:
        """Die or run."""
        self.jobs += 1
        if self.jobs <= self.deaths:
            return BoxEnd(None, EndedBy.SETUP, problem="it died")
        return await self.box.run(job)

    async def show(self, folders: dict[str, str]) -> None:
        """Show them."""
        await self.box.show(folders)


@asynccontextmanager
async def compiling(box: Box | DyingBox, *, most_bytes: int = 64 * MIB) -> AsyncIterator[Go]:
    """Go in a box, prepared."""
    told = settings()
    go = Go(box, told.runner_go_cache, compile_limits(told), 2, CompiledPrograms(most_bytes))  # type: ignore[arg-type]
    await go.prepare()
    yield go


@pytest.fixture(scope="module")
async def box() -> AsyncIterator[Box]:
    """A real box."""
    async with open_sandbox(sandbox_plan(settings())) as box:
        yield box


async def program(go: Go, code: str) -> Program:
    """The code's program."""
    built = await go.build(code, LIMITS, RunningChunk())
    assert isinstance(built, Program), built
    return built


async def ran(box: Box, built: Program) -> bytes:
    """What a program writes."""
    assert built.binary
    end = await box.run(BoxJob(LIMITS, MIB, argv=built.argv, program=built.binary.fd, extra_address_bytes=128 * MIB))
    assert (end.ended_by, end.exit_code) == (EndedBy.EXIT, 0), end
    return end.stdout.data


def content(built: Program) -> bytes:
    """The bytes of a program."""
    assert built.binary
    return os.pread(built.binary.fd, built.binary.size, 0)


def sealed_files() -> int:
    """How many files in memory this process holds."""
    held = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum("memfd:sealed" in str(name) for name in held)


LIMITS: BoxLimits = granted(Limits(), settings())


class TestWhatIsKept:
    async def test_a_box_that_died_is_no_word_on_the_source(self, box: Box) -> None:
        dying = DyingBox(box, deaths=1)
        async with compiling(dying) as go:
            first = await go.build(HELLO, LIMITS, RunningChunk())
            assert isinstance(first, Refused)
            assert first.end.ended_by is EndedBy.SETUP
            assert await ran(box, await program(go, HELLO)) == b"hello\n"
        assert dying.jobs == 2

    async def test_it_takes_no_more_than_it_may_and_a_program_thrown_out_lives_as_long_as_it_runs(
        self, box: Box
    ) -> None:
        counting = DyingBox(box, deaths=0)
        async with compiling(counting, most_bytes=3 * MIB) as go:
            programs = [await program(go, never_seen(HELLO)) for _ in range(4)]
            assert 0 < go._programs.kept_bytes <= 3 * MIB
            assert [await ran(box, built) for built in programs] == [b"hello\n"] * 4

    async def test_a_program_thrown_out_while_it_runs_ends_well_and_its_memory_is_free_then(self, box: Box) -> None:
        slow = 'package main\nimport ("fmt"; "time")\nfunc main() { time.Sleep(time.Second); fmt.Println("done") }'
        async with compiling(box, most_bytes=0) as go:
            before = sealed_files()
            running = asyncio.create_task(ran(box, await program(go, slow)))
            await asyncio.sleep(0)
            await program(go, never_seen(HELLO))
            assert go._programs.kept_bytes == 0
            assert await running == b"done\n"
            del running
            assert sealed_files() == before

    async def test_nothing_that_runs_in_a_box_changes_what_compilations_are_made_of(self, box: Box) -> None:
        attack = """
import os
for folder, _, names in os.walk("/go"):
    for name in names:
        path = os.path.join(folder, name)
        for act in (lambda: open(path, "r+b").write(b"x"), lambda: os.truncate(path, 0), lambda: os.unlink(path),
                    lambda: os.chmod(path, 0o777), lambda: os.rename(path, path + "x"), lambda: os.utime(path)):
            try:
                act()
            except OSError:
                pass
            else:
                print("changed", path)
    try:
        open(folder + "/new", "w")
    except OSError:
        print("tried", len(names))
"""
        async with compiling(box) as go:
            honest = content(await program(go, HELLO))
        end = await box.run(BoxJob(LIMITS, MIB, files={"main.py": attack.encode()}))
        assert (end.exit_code, end.stdout.data.split()[0]) == (0, b"tried"), end
        async with compiling(box) as go:
            assert content(await program(go, HELLO)) == honest

    async def test_a_program_cannot_be_changed_by_who_holds_it(self, box: Box) -> None:
        async with compiling(box) as go:
            built = await program(go, HELLO)
        assert built.binary
        with pytest.raises(PermissionError):
            os.pwrite(built.binary.fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(built.binary.fd, 0)


class TestToolchain:
    async def test_a_machine_without_go_says_so(self, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr("sys.executable", "/nowhere/python")
        monkeypatch.setattr("sysconfig.get_path", lambda _name: "/nowhere")
        go = Go(box, settings().runner_go_cache, LIMITS, 2, CompiledPrograms(MIB))
        with pytest.raises(MissingToolError, match="put go on the PATH"):
            await go.prepare()
        with pytest.raises(MissingToolError, match="put go on the PATH"):
            await go.build(HELLO, LIMITS, RunningChunk())

    async def test_a_cache_that_cannot_be_written_is_named(self, box: Box) -> None:
        go = Go(box, Path("/proc/nothing"), LIMITS, 2, CompiledPrograms(MIB))
        with pytest.raises(MissingToolError, match="RUNNER_GO_CACHE=/proc/nothing"):
            await go.prepare()

    async def test_preparing_leaves_nothing_when_it_is_cancelled(self, box: Box, tmp_path: Path) -> None:
        preparing = asyncio.create_task(Go(box, tmp_path, LIMITS, 2, CompiledPrograms(MIB)).prepare())
        async with asyncio.timeout(30):
            while not list(tmp_path.glob("making-*/gocache/*")):  # noqa: ASYNC110 - another program makes them
                await asyncio.sleep(0.05)
        preparing.cancel()
        assert await asyncio.gather(preparing, return_exceptions=True) != [None]
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
