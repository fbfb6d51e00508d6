"""`taskandgo top`: everything at a glance, live, in a terminal."""
