"""Counts the words of its lines: a word and its count a line."""

import re
import sys
from collections import Counter

words = Counter(re.findall(r"[a-z]+(?:'[a-z]+)?", sys.stdin.read().lower()))
for word, count in words.items():
    print(count, word)
