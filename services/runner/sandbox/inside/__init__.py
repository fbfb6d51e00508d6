"""What runs between the runner and submitted code: a bare interpreter with the standard library alone."""
