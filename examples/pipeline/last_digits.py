"""Counts which digits the numbers on its lines end with: the count and the digit a line."""

import sys
from collections import Counter

for digit, count in Counter(line.strip()[-1] for line in sys.stdin).items():
    print(count, digit)
