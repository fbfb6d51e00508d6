"""What the metrics of all services have in common: buckets, and labels that take few values."""

from taskandgo.words import LANGUAGES

#: 1 ms to 10 s: one step of the way, such as a call or a message.
STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
#: 10 ms to 2 h: a short task's whole life, and a long one's.
LIFE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200)


def language_label(language: str) -> str:
    """The language, if it is one we know."""
    return language if language in LANGUAGES else "other"
