"""The command line: starts the services, and talks to them for people. One file for each command."""
