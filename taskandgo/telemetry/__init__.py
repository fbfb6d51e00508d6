"""How services are seen from outside: logs."""
