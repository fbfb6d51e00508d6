"""Prints pi to 1000 decimal digits with Machin's formula, in whole numbers throughout."""

DIGITS = 1000
GUARD = 10


def arccot(x: int, unity: int) -> int:
    """The arc cotangent of x, times unity."""
    power = unity // x
    total, n, sign = power, 3, -1
    while power:
        power //= x * x
        total += sign * (power // n)
        sign, n = -sign, n + 2
    return total


unity = 10 ** (DIGITS + GUARD)
pi = 4 * (4 * arccot(5, unity) - arccot(239, unity)) // 10**GUARD
text = str(pi)
print(f"{text[0]}.{text[1:]}")
