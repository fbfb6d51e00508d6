"""Turns tasks into chunks and results into final states; any number run side by side, all their state is in the store."""
