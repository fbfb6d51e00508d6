"""All attacks once more, on a sandbox of a runner that is no root."""

import asyncio
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.sandbox.boxes import interpreter, open_to_all

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
#: Nobody on this machine.
UNUSED_UID = 47_113
SUITES = [
    path for path in (*sorted(HERE.glob("test_*.py")), HERE.parent / "test_box.py") if path.name != Path(__file__).name
]
SECONDS = 110


def python() -> str:
    """An interpreter of this version that every user can read."""
    ours = interpreter()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = ours if open_to_all(ours) else shutil.which(version, path="/usr/local/bin:/usr/bin")
    if found is None:
        pytest.skip(f"no {version} here that another user can reach")
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="the tests are run by an ordinary user already")
@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
async def test_attacks_fail_on_an_ordinary_users_runner_too(suite: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        os.chown(home, UNUSED_UID, UNUSED_UID)
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": home,
            "TMPDIR": home,
            "RUNNER_PYTHON": python(),
            "PYTHONPATH": os.pathsep.join((str(ROOT), sysconfig.get_path("purelib"))),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *(python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={home}/t", str(suite)),
            cwd=ROOT,
            env=env,
            user=UNUSED_UID,
            group=UNUSED_UID,
            extra_groups=[],
            stdout=-1,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-8000:]
