"""The worker's log: each record is one line on stderr, the stream of a worker that TorchServe
shows.
"""

import logging
import sys


class OneLineFormatter(logging.Formatter):
    """Level, logger and message; a traceback follows on the same line."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


def log_to_stderr() -> None:
    """Have the warnings and errors of `handlers` shown; a second call changes nothing."""
    logger = logging.getLogger("handlers")
    if not any(isinstance(each.formatter, OneLineFormatter) for each in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(OneLineFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # the root logger, as TorchServe sets it up, writes to stdout
