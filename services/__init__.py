"""The four services and the command line; each folder is one, and none imports another."""
