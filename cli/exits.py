# How a command ends. The numbers are documented and never change.
"""Exit statuses, and the exception that ends a command with one."""

DONE = 0
CHECK_FAILED = 1
USAGE = 2
NO_SERVER = 3
NOTHING_TO_MEASURE = 4
CANNOT_START = 5
NOT_HELD = 6
OUR_BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell reports for SIGINT


class Stop(Exception):
    """Ends the command with `status`; the message, one line a problem, goes to stderr."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
