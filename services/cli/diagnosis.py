"""What `doctor` finds out about this machine, by trying it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.runner.main import sandbox_plan
from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.examine_level import Examination, examine_level
from services.runner.sandbox.inside.plan import RESTRICTED, STRICT
from services.runner.sandbox.machine import Machine, look_at_machine
from services.runner.sandbox.sandbox import open_sandbox
from services.runner.settings import RunnerSettings
from services.runner.try_languages import TriedLanguage, try_languages
from taskandgo.broker.connect import broker_version
from taskandgo.errors import AwayError, SettingsError
from taskandgo.settings import StoreSettings, load
from taskandgo.store.ask_version import store_version

LEVELS: tuple[Literal["strict", "restricted"], ...] = ("strict", "restricted")
assert LEVELS == (STRICT, RESTRICTED)


@dataclass(frozen=True, slots=True)
class Reached:
    """Whether a server that the environment names answers: its version, or why it does not."""

    setting: str
    answers: bool
    said: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found."""

    machine: Machine
    interpreter: str
    asked_level: str
    levels: list[Examination]
    languages: list[TriedLanguage]
    servers: list[Reached]
    given_levels: list[str]
    ok: bool


async def diagnose(settings: RunnerSettings) -> Diagnosis:
    """Try everything."""
    machine = look_at_machine()
    levels = [await examine_level(sandbox_plan(_at(settings, level)), machine) for level in LEVELS]
    given = [examined.level for examined in levels if examined.is_given]
    asked = settings.runner_isolation
    servers = await _servers(settings)
    return Diagnosis(
        machine=machine,
        interpreter=settings.runner_python,
        asked_level=asked,
        levels=levels,
        languages=await _languages(_at(settings, asked)) if asked in given else [],
        servers=servers,
        given_levels=given,
        ok=asked in given and all(server.answers for server in servers),
    )


def _at(settings: RunnerSettings, level: str) -> RunnerSettings:
    return settings.model_copy(
        update={"runner_isolation": level, "runner_slots": 1, "runner_name": f"doctor-{os.getpid()}"}
    )


async def _languages(settings: RunnerSettings) -> list[TriedLanguage]:
    try:
        async with open_sandbox(sandbox_plan(settings)) as box:
            return await try_languages(settings, box)
    except SandboxUnavailableError as error:
        return [TriedLanguage("all", runs=False, said=str(error))]


async def _servers(settings: RunnerSettings) -> list[Reached]:
    reached = []
    if "broker_url" in settings.model_fields_set:
        try:
            reached.append(Reached("BROKER_URL", answers=True, said=await broker_version(settings)))
        except AwayError as error:
            reached.append(Reached("BROKER_URL", answers=False, said=str(error)))
    store = load(StoreSettings)
    if "store_url" in store.model_fields_set:
        reached.append(await _store(store.store_url))
    return reached


async def _store(url: str) -> Reached:
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).is_file():
        return Reached("STORE_URL", answers=False, said=f"there is no file {file} yet; `taskandgo migrate` makes it")
    try:
        return Reached("STORE_URL", answers=True, said=await store_version(url))
    except (AwayError, SettingsError) as error:
        return Reached("STORE_URL", answers=False, said=str(error))
