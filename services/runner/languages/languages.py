"""Which languages this runner speaks: a new one is a file here, a line here and a line in taskandgo/words.py."""

from services.runner.languages.bash import Bash
from services.runner.languages.compiled_programs import CompiledPrograms, LookedUp, nobody
from services.runner.languages.go import Go
from services.runner.languages.language import Language
from services.runner.languages.python import Python
from services.runner.limits import compile_limits
from services.runner.sandbox.box import Box
from services.runner.sandbox.inside.plan import RESTRICTED
from services.runner.settings import RunnerSettings


def make_languages(settings: RunnerSettings, box: Box, looked_up: LookedUp = nobody) -> dict[str, Language]:
    """Each language by the prefix that names it; without namespaces nothing but the warm interpreter can start."""
    if settings.runner_isolation == RESTRICTED:
        return {"python": Python()}
    return {
        "python": Python(),
        "go": Go(
            box,
            settings.runner_go_cache,
            compile_limits(settings),
            settings.runner_slots,
            CompiledPrograms(settings.runner_go_programs_bytes, looked_up),
        ),
        "bash": Bash(),
    }
