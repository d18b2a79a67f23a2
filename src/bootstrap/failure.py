"""Errors that end the launcher, and the exit codes that they end it with (the driver's are the same)."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 4
EXIT_LOCK_TIMEOUT = 75
EXIT_BUG = 101
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """An error that a person can do something about: the message says what."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
