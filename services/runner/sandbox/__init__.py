"""The box that submitted code runs in: `box.py` is the seam, the other files stand behind it."""
