"""One file for each language: how its code becomes a program that a box can run."""
