"""Measures the stack side by side with Celery and Dramatiq: `python -m bench`."""
