"""Sums the terms of Chudnovsky's series for pi from RANGE_START up to without RANGE_STOP, by binary splitting.

Prints P, Q and T in hexadecimal: the sum of the terms is T / Q, and P / Q carries on to the terms after them.
"""

import os

C3_OVER_24 = 640320**3 // 24


def split(first: int, stop: int) -> tuple[int, int, int]:
    """P, Q and T of the terms from first up to without stop."""
    if stop - first > 1:
        middle = (first + stop) // 2
        p1, q1, t1 = split(first, middle)
        p2, q2, t2 = split(middle, stop)
        return p1 * p2, q1 * q2, t1 * q2 + p1 * t2
    p = (6 * first - 5) * (2 * first - 1) * (6 * first - 1) if first else 1
    q = first**3 * C3_OVER_24 if first else 1
    return p, q, (-1) ** first * p * (13591409 + 545140134 * first)


for number in split(int(os.environ["RANGE_START"]), int(os.environ["RANGE_STOP"])):
    print(f"{number:x}")
