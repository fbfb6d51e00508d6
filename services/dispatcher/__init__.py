"""Turns tasks into chunks and results into final states; any number run side by side, with all state in the store."""
