"""The error that ends the launcher, and the exit codes that it ends with, which are the driver's too."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 4
EXIT_LOCK_TIMEOUT = 75
EXIT_BUG = 101
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """An error that a person can do something about: the message says what."""

    def __init__(self, message: str, code: int = EXIT_ENVIRONMENT) -> None:
        super().__init__(message)
        self.code = code
