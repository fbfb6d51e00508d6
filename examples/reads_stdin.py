"""Counts the lines and words it is given on standard input."""

import sys

lines = sys.stdin.read().splitlines()
print(f"{len(lines)} lines, {sum(len(line.split()) for line in lines)} words")
