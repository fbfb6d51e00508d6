# The most frequent words of standard input: taskandgo run examples/words.sh --stdin TEXT
tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | sort | uniq -c | sort -k1,1nr -k2 | awk 'NR <= 5 { print $1, $2 }'
