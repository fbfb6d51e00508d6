"""From a policy to the filter that the kernel holds a process to.

Promises: calls by way of a foreign architecture, and x32's, kill the process; a call newer than the table is answered
ENOSYS, so that programs fall back; what the policy does not allow is answered with an error; once loaded, a filter
holds for the thread and all it starts.

A filter is compiled once, ahead of the fork; the child only puts its own process number in and loads it.
"""

import ctypes
import struct
from errno import ENOSYS, EPERM

from services.runner.sandbox.inside.bpf_program import IF_AT_LEAST, IF_EQUAL, INSTRUCTION, BpfProgram
from services.runner.sandbox.inside.kernel import forbid_new_privileges, syscall
from services.runner.sandbox.inside.syscall_numbers import MACHINE, MACHINES, NUMBERS, numbers_on
from services.runner.sandbox.inside.syscall_rule import LOW_HALF, OWN_PID, Check, Policy, Rule

SET_MODE_FILTER = 1
KILL_PROCESS = 0x8000_0000
ALLOW = 0x7FFF_0000
ERROR = 0x0005_0000

#: Offsets in `struct seccomp_data`; both machines put an argument's low half first.
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
X32 = 0x4000_0000

#: What the filter returns, or the rule that decides.
Verdict = int | Rule
REFUSED: Verdict = ERROR | EPERM
NOT_THERE: Verdict = ERROR | ENOSYS


class Filter:
    """A compiled policy. `own_pid_at` are the instructions that compare with the process's own number."""

    def __init__(self, program: bytes, own_pid_at: tuple[int, ...]) -> None:
        self.program = program
        self.own_pid_at = own_pid_at
        self._memory = ctypes.create_string_buffer(program, len(program))
        self._header = struct.pack("HxxxxxxQ", len(program) // INSTRUCTION.size, ctypes.addressof(self._memory))

    def load(self, own_pid: int) -> None:
        """Hold this thread, and what it starts, to the policy; `own_pid` is the number it has for itself."""
        for place in self.own_pid_at:
            struct.pack_into("=I", self._memory, place * INSTRUCTION.size + 4, own_pid)
        forbid_new_privileges()
        syscall(NUMBERS["seccomp"], SET_MODE_FILTER, 0, self._header)


def compile_policy(policy: Policy, machine: str = MACHINE) -> Filter:
    """The filter for the policy on a machine."""
    return _Compiler(policy, machine).compile()


class _Compiler:
    def __init__(self, policy: Policy, machine: str) -> None:
        self._policy = policy
        self._machine = MACHINES[machine]
        self._numbers = numbers_on(machine)
        self._program = BpfProgram()
        self._rules: dict[Rule, int] = {}
        self._own_pid: list[int] = []

    def compile(self) -> Filter:
        put = self._program
        known = put.load(NUMBER, self._search(self._ranges()))
        foreign = put.returns(KILL_PROCESS)
        start = put.load(ARCHITECTURE, put.branch(IF_EQUAL, self._machine.audit_arch, known, foreign))
        return Filter(put.assemble(start), tuple(start - label for label in self._own_pid))

    def _ranges(self) -> list[tuple[int, Verdict]]:
        """Where the numbers start that have a verdict in common; the last such range has no end."""
        verdicts = {number: self._verdict(name) for name, number in self._numbers.items()}
        newest = max(verdicts)
        ranges: list[tuple[int, Verdict]] = []
        for number in range(newest + 1):
            verdict = verdicts.get(number, REFUSED)
            if not ranges or ranges[-1][1] != verdict:
                ranges.append((number, verdict))
        x32 = [(X32, KILL_PROCESS)] if self._machine.name == "x86_64" else []
        return [*ranges, (newest + 1, NOT_THERE), *x32]

    def _verdict(self, name: str) -> Verdict:
        policy = self._policy
        if name in policy.rules:
            return policy.rules[name]
        if name in policy.allowed:
            return ALLOW
        return ERROR | policy.answers.get(name, EPERM)

    def _search(self, ranges: list[tuple[int, Verdict]]) -> int:
        """A binary search for the range that the number is in."""
        if len(ranges) == 1:
            return self._decide(ranges[0][1])
        middle = len(ranges) // 2
        above, below = self._search(ranges[middle:]), self._search(ranges[:middle])
        return self._program.branch(IF_AT_LEAST, ranges[middle][0], above, below)

    def _decide(self, verdict: Verdict) -> int:
        if isinstance(verdict, int):
            return self._program.returns(verdict)
        if verdict not in self._rules:
            self._rules[verdict] = self._rule(verdict)
        return self._rules[verdict]

    def _rule(self, rule: Rule) -> int:
        allow, otherwise = self._program.returns(ALLOW), self._program.returns(ERROR | rule.error)
        for checks in reversed(rule.alternatives):
            holds = allow
            for check in reversed(checks):
                holds = self._check(check, holds, otherwise)
            otherwise = holds
        return otherwise

    def _check(self, check: Check, holds: int, otherwise: int) -> int:
        if check.mask > LOW_HALF:
            return self._wide_check(check, holds, otherwise)
        low = ARGUMENTS + 8 * check.argument
        for value in reversed(check.values):
            otherwise = self._compare(value, holds, otherwise)
        return self._load(low, check.mask, otherwise)

    def _wide_check(self, check: Check, holds: int, otherwise: int) -> int:
        low = ARGUMENTS + 8 * check.argument
        for value in reversed(check.values):
            low_holds = self._load(low, check.mask & LOW_HALF, self._compare(value & LOW_HALF, holds, otherwise))
            high_holds = self._compare(value >> 32, low_holds, otherwise)
            otherwise = self._load(low + 4, check.mask >> 32, high_holds)
        return otherwise

    def _compare(self, value: int, holds: int, otherwise: int) -> int:
        label = self._program.branch(IF_EQUAL, value & LOW_HALF, holds, otherwise)
        if value == OWN_PID:
            self._own_pid.append(label)
        return label

    def _load(self, offset: int, mask: int, then: int) -> int:
        if mask != LOW_HALF:
            then = self._program.keep(mask, then)
        return self._program.load(offset, then)
