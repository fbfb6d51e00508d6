// Prints how many primes there are below a million, with the sieve of Eratosthenes.
package main

import "fmt"

const limit = 1_000_000

func main() {
	composite := make([]bool, limit)
	count := 0
	for n := 2; n < limit; n++ {
		if composite[n] {
			continue
		}
		count++
		for m := n * n; m < limit; m += n {
			composite[m] = true
		}
	}
	fmt.Println(count, "primes below", limit)
}
