#!/bin/sh
# Which digit do primes end with? A Go task finds the primes, cut by range; a Python task counts, cut by lines.
# Both run on whatever server TASKANDGO_SERVER names; only the primes pass through here.
set -eu
examples=$(dirname "$0")/..
primes=$(mktemp)
trap 'rm -f "$primes"' EXIT

taskandgo run "$examples/pipeline/primes.go" --split-range "2:${1:-100000}" --chunks 8 > "$primes"
taskandgo run "$examples/pipeline/last_digits.py" --split-lines "$primes" --chunks 8 \
    --reduce "$examples/word_count/total.py"
