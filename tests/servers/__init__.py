"""Private servers for the tests: started on free ports, gone after the session."""
