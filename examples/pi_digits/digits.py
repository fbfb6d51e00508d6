"""A reduce: joins the chunks' sums of Chudnovsky's series and prints pi to DIGITS decimals."""

import json
import os
import sys
from math import isqrt

DIGITS, GUARD = int(os.environ["DIGITS"]), 10
# Python refuses to write numbers of more than 4,300 digits unless it is told otherwise.
sys.set_int_max_str_digits(0)

p, q, t = 1, 1, 0
for line in sys.stdin:
    p2, q2, t2 = (int(number, 16) for number in json.loads(line)["stdout"].split())
    p, q, t = p * p2, q * q2, t * q2 + p * t2
root = isqrt(10005 * 10 ** (2 * (DIGITS + GUARD)))
pi = str(q * 426880 * root // t // 10**GUARD)
print(f"{pi[0]}.{pi[1:]}")
