"""Paints the rows of the Mandelbrot set from RANGE_START up to without RANGE_STOP.

A byte a pixel says how fast it escapes.
"""

import math
import os
import sys

WIDTH, HEIGHT = int(os.environ["WIDTH"]), int(os.environ["HEIGHT"])
CENTRE, ACROSS = complex(-0.7, 0), 3.6
LONGEST, FAR = 200, 8


def shade(point: complex) -> int:
    """0 inside the set; outside, a smooth 1 to 255."""
    z = 0j
    for steps in range(LONGEST):
        if abs(z) > FAR:
            smooth = steps - math.log2(math.log2(abs(z)))
            return 1 + int(254 * math.sqrt(max(0.0, smooth) / LONGEST))
        z = z * z + point
    return 0


scale = ACROSS / WIDTH
for row in range(int(os.environ["RANGE_START"]), int(os.environ["RANGE_STOP"])):
    y = (HEIGHT / 2 - row) * scale
    line = bytes(shade(CENTRE + complex((x - WIDTH / 2) * scale, y)) for x in range(WIDTH))
    sys.stdout.buffer.write(line)
