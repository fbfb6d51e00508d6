"""What can go wrong, split by what the caller should do about it.

An `AwayError` passes by itself: wait and try again, nothing is lost. Everything else stays wrong until
somebody changes something. A class's docstring is its default message.
"""

from inspect import cleandoc


class TaskAndGoError(Exception):
    """Something went wrong in TaskAndGo."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or cleandoc(type(self).__doc__ or type(self).__name__))


class AwayError(TaskAndGoError):
    """Something this service needs is away for now; trying again later will help."""


class BrokerAwayError(AwayError):
    """The broker cannot be reached, or did not confirm in time; what was published may still arrive."""


class StoreAwayError(AwayError):
    """The store cannot be reached; nothing was recorded."""


class UnroutableError(TaskAndGoError):
    """The broker has no queue for a message that must be kept."""


class UndecodableError(TaskAndGoError):
    """The body is no message that this version knows."""


class SettingsError(TaskAndGoError):
    """A setting is misspelt, missing or out of range."""


class QueueMismatchError(TaskAndGoError):
    """A queue exists with other arguments than the ones this version declares."""


class BlobGoneError(TaskAndGoError):
    """The blob has been removed, with the last task that used it."""


class TooLargeError(TaskAndGoError):
    """More bytes came than are allowed."""
