"""Fails with a traceback, to show what a failed task says."""


def average(numbers: list[float]) -> float:
    """The arithmetic mean."""
    return sum(numbers) / len(numbers)


print("about to divide by nothing")
print(average([]))
