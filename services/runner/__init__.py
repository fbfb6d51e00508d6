"""The runner: takes chunks of one pool, runs each in a box of its own, and says how it ended."""
