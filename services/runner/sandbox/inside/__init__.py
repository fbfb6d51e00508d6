"""What runs between the runner and submitted code: a bare interpreter that has the standard library and nothing else."""
