// Prints the primes from RANGE_START up to without RANGE_STOP, one a line.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
)

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}

func number(name string) int {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for n := number("RANGE_START"); n < number("RANGE_STOP"); n++ {
		if isPrime(n) {
			fmt.Fprintln(out, n)
		}
	}
}
