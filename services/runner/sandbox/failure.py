"""What keeps a machine from giving an isolation level: the step that failed, and what was said of it. Pure."""

from dataclasses import dataclass

from services.runner.sandbox.inside.plan import RESTRICTED, STRICT
from services.runner.sandbox.machine import Machine

#: Before a zygote takes its first step, and after a box has taken its last.
STARTING, PROOF = "the interpreter", "proof"
#: What a zygote that made no box is said to do.
NO_ANSWER = "the zygote does not answer: "
#: The steps of each level in the order in which they are taken.
STEPS: dict[str, tuple[str, ...]] = {
    STRICT: (
        STARTING,
        "namespaces of the zygote",
        "a minimal, read-only root",
        "an ordinary user",
        "a user namespace of its own",
        "the first process of its namespace",
        "a private file system",
        "Landlock rules",
        "namespaces of the box",
        "a user of its own",
        "a process in its namespaces",
        "its cgroups",
        "no capabilities",
        "Landlock",
        "seccomp",
        PROOF,
    ),
    RESTRICTED: (
        STARTING,
        "Landlock of version 6, which scopes signals and sockets",
        "nothing of this product where the code can read",
        "an ordinary user",
        "an interpreter that this user can read",
        "a process",
        "its cgroups",
        "Landlock",
        "seccomp",
        PROOF,
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed, what the kernel said of it, and where."""

    level: str
    step: str
    said: str
    machine: Machine

    def said_one_of(self, *words: str) -> bool:
        """Whether one of the words is in what the kernel said."""
        return any(word in self.said for word in words)


def failure_of(level: str, told: str, machine: Machine) -> Failure:
    """The failure that was told of: `step: what the kernel said`, or what the kernel said alone."""
    words = told.rsplit(NO_ANSWER, 1)[-1]
    # The longest first: one step's name may begin another's.
    for step in sorted(STEPS[level], key=len, reverse=True):
        if words.startswith(f"{step}: "):
            return Failure(level, step, words.removeprefix(f"{step}: "), machine)
    return Failure(level, _step_by_call(words), words, machine)


def _step_by_call(words: str) -> str:
    for call, step in (("landlock_", "Landlock"), ("seccomp:", "seccomp")):
        if call in words:
            return step
    return STARTING
