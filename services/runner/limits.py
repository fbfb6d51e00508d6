"""What an attempt is granted of what its task asked for: pure."""

from services.runner.sandbox.box import BoxLimits
from services.runner.settings import LimitSettings, RunnerSettings
from taskandgo.task import Limits

COMPILER_PROCESSES = 64
#: A compiled program comes out of its box as output.
LARGEST_BINARY_BYTES = 64 * 1024 * 1024


def granted(asked: Limits, settings: LimitSettings) -> BoxLimits:
    """What was asked, the default where nothing was, and never more than the most."""
    return BoxLimits(
        timeout_seconds=min(
            asked.timeout_seconds or settings.runner_default_timeout_seconds, settings.runner_max_timeout_seconds
        ),
        cpu_seconds=min(asked.cpu_seconds or settings.runner_default_cpu_seconds, settings.runner_max_cpu_seconds),
        memory_bytes=min(asked.memory_bytes or settings.runner_default_memory_bytes, settings.runner_max_memory_bytes),
        processes=min(asked.processes or settings.runner_default_processes, settings.runner_max_processes),
        open_files=min(asked.open_files or settings.runner_default_open_files, settings.runner_max_open_files),
        disk_bytes=min(asked.disk_bytes or settings.runner_default_disk_bytes, settings.runner_max_disk_bytes),
        output_bytes=min(asked.output_bytes or settings.runner_default_output_bytes, settings.runner_max_output_bytes),
    )


def compile_limits(settings: RunnerSettings) -> BoxLimits:
    """What a compiler may use, whatever its program may."""
    return BoxLimits(
        timeout_seconds=settings.runner_compile_timeout_seconds,
        cpu_seconds=settings.runner_compile_timeout_seconds,
        memory_bytes=settings.runner_compile_memory_bytes,
        processes=COMPILER_PROCESSES,
        open_files=settings.runner_default_open_files,
        disk_bytes=settings.runner_default_disk_bytes,
        output_bytes=LARGEST_BINARY_BYTES,
    )
