"""Bash through a whole runner: scripts behave as on a plain machine, within their box."""

from collections.abc import AsyncIterator

import pytest

from services.runner.languages.bash import Bash
from services.runner.languages.language import MissingToolError
from services.runner.limits import granted
from services.runner.running_chunks import RunningChunk
from taskandgo.task import Limits
from taskandgo.words import Outcome
from tests.sandbox.runner_at_work import Running, at_work, settings

MIB = 1024 * 1024


@pytest.fixture(scope="module")
async def runner() -> AsyncIterator[Running]:
    """A runner at work."""
    async with at_work() as running:
        yield running


async def printed(runner: Running, script: str, **fields: object) -> list[str]:
    """The lines that a script prints which succeeds and complains of nothing."""
    result = await runner.result(script, "bash", **fields)
    assert (result.outcome, result.stderr) == (Outcome.SUCCEEDED, b""), result
    return result.stdout.decode().splitlines()


async def test_a_script_is_told_who_it_is_and_where(runner: Running) -> None:
    script = 'echo "$0 $# $PWD $HOME $CHUNK_INDEX $OWN ${BASH_VERSION%%.*}"; ls'
    first, *files = await printed(runner, script, env={"OWN": "mine"})
    assert first.rpartition(" ")[0] == "main.sh 0 /work /work 0 mine"
    assert files == ["main.sh"]


async def test_pipes_and_stdin(runner: Running) -> None:
    script = "sort -n | awk '{ s += $1; print s }' | sed -n '$p' | tr 0-9 a-j"
    assert await printed(runner, script, stdin=b"30\n2\n10\n") == ["ec"]


async def test_the_usual_tools_are_there(runner: Running) -> None:
    tools = "awk sed grep find xargs sort cut tr wc head tail date mktemp seq tee dd sha256sum base64 tar gzip"
    assert (
        await printed(runner, f"for tool in {tools}; do type -P $tool > /tmp/where || echo missing $tool; done") == []
    )


async def test_files_here_documents_arrays_and_arithmetic(runner: Running) -> None:
    script = """
set -euo pipefail
declare -A many=([a]=1 [b]=2)
cat > made <<EOF
$((many[a] + many[b])) ${#many[@]}
EOF
read -r sum count < made
echo "$sum $count" | tee "$(mktemp)"
(cat <(true)) 2>/dev/null || echo "no /dev/fd"
"""
    assert await printed(runner, script) == ["3 2", "no /dev/fd"]


async def test_a_named_pipe_does_what_process_substitution_cannot(runner: Running) -> None:
    script = "mkfifo left; seq 3 > left & seq 2 | comm -3 left -; wait"
    assert await printed(runner, script) == ["3"]


@pytest.mark.parametrize(
    ("script", "outcome", "exit_code"),
    [
        ("exit 7", Outcome.FAILED, 7),
        ("false", Outcome.FAILED, 1),
        ("set -e; false; echo not reached", Outcome.FAILED, 1),
        ("set -o pipefail; exit 3 | cat", Outcome.FAILED, 3),
        ("no_such_command", Outcome.FAILED, 127),
        ("if then", Outcome.FAILED, 2),
        ("kill -SEGV $$", Outcome.KILLED, 139),
        ("kill -TERM $$", Outcome.KILLED, 143),
        ("bash -c 'kill -KILL $$'", Outcome.KILLED, 137),
        ("yes | head -1", Outcome.SUCCEEDED, 0),
    ],
)
async def test_how_a_script_ends(runner: Running, script: str, outcome: Outcome, exit_code: int) -> None:
    result = await runner.result(script, "bash")
    assert (result.outcome, result.exit_code) == (outcome, exit_code), result


async def test_an_error_names_its_line(runner: Running) -> None:
    result = await runner.result("true\nno_such_command", "bash")
    assert result.stderr == b"main.sh: line 2: no_such_command: command not found\n"


async def test_traps_run(runner: Running) -> None:
    script = "trap 'echo got USR1' USR1; trap 'echo bye' EXIT; kill -USR1 $$; echo on"
    assert await printed(runner, script) == ["got USR1", "on", "bye"]


async def test_children_are_waited_for_and_those_left_behind_die_with_the_box(runner: Running) -> None:
    script = (
        "for n in 1 2 3; do (exit $n) & all+=($!); done; for pid in ${all[@]}; do wait $pid; echo $?; done; sleep 60 &"
    )
    result = await runner.result(script, "bash")
    assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, b"1\n2\n3\n")
    assert result.usage.wall_seconds < 10


async def test_it_is_ended_at_its_limits(runner: Running) -> None:
    endless = await runner.result(
        "trap '' TERM INT; while :; do sleep 1; done", "bash", limits=Limits(timeout_seconds=1)
    )
    assert endless.outcome is Outcome.TIMED_OUT
    greedy = await runner.result(
        "x=a; while :; do x=$x$x; done", "bash", limits=Limits(memory_bytes=32 * MIB, timeout_seconds=20)
    )
    assert (greedy.outcome, greedy.reason) == (Outcome.OUT_OF_MEMORY, "used more memory than its limit of 32 MiB")


async def test_it_reaches_nothing_outside(runner: Running) -> None:
    script = """
for where in /etc /usr/bin /go / /dev; do touch $where/x 2>/dev/null && echo wrote $where; done
(exec 3<> /dev/tcp/127.0.0.1/22) 2>/dev/null && echo network
cat /etc/shadow /proc/1/environ /root/.bashrc 2>/dev/null
mount -t proc proc /tmp 2>/dev/null && echo mounted
unshare -U true 2>/dev/null && echo unshared
id -u
"""
    assert await printed(runner, script) == ["65534"]


async def test_a_machine_without_bash_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runner.languages.bash.SEEN", "/nowhere")
    bash = Bash()
    with pytest.raises(MissingToolError, match="bash is not installed"):
        await bash.prepare()
    with pytest.raises(MissingToolError, match="bash is not installed"):
        await bash.build("true", granted(Limits(), settings()), RunningChunk())
