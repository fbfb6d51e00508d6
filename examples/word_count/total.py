"""A reduce: adds up what the chunks counted, and prints the most frequent first.

Its stdin is one JSON object a line for each chunk, in chunk order.
"""

import json
import sys
from collections import Counter

total: Counter[str] = Counter()
for chunk in map(json.loads, sys.stdin):
    for line in chunk["stdout"].splitlines():
        count, word = line.split()
        total[word] += int(count)
for word, count in sorted(total.items(), key=lambda entry: (-entry[1], entry[0])):
    print(count, word)
