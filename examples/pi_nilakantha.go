// Sums 1000 terms of Nilakantha's series for pi: 3 + 4/(2*3*4) - 4/(4*5*6) + ...
//
// The sum it prints is 3.1172378336938116, not pi. That is on purpose: `sign := one` copies a pointer, so
// flipping the sign also turns `one` into -1, and every second denominator becomes n*(n-1)*(n+2).
// The result is the same on every machine, which makes it a good check that Go code runs unchanged.
package main

import (
	"fmt"
	"math/big"
)

const terms = 1000

func main() {
	pi := big.NewFloat(3)
	one := big.NewFloat(1)
	two := big.NewFloat(2)
	four := big.NewFloat(4)
	sign := one
	n := big.NewFloat(2)
	for i := 0; i < terms; i++ {
		denom := new(big.Float).Mul(n, new(big.Float).Add(n, one))
		denom.Mul(denom, new(big.Float).Add(n, two))
		term := new(big.Float).Quo(four, denom)
		pi.Add(pi, term.Mul(term, sign))
		sign.Neg(sign)
		n.Add(n, two)
	}
	fmt.Println(pi)
}
