"""The worker's log: each record is one line on stderr, the stream of a worker that TorchServe
forwards; readable text, or JSON for machines.

TorchServe forwards these lines unchanged, by their beginning, and puts the time before readable
ones: see deploy/torchserve/log4j2.xml and log4j2-json.xml. Set up by `handlers.entry`.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

FORMAT, LEVEL = "FCNSERVE_LOG_FORMAT", "FCNSERVE_LOG_LEVEL"


class HumanFormatter(logging.Formatter):
    """Level, message, logger and fields, as in the gateway's log; a traceback follows on the same
    line.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        level = f"[{record.levelname.lower():<9}]"
        fields = (f"{name}={value}" for name, value in fields_of(record).items())
        return " ".join([level, record.message, f"[{record.name}]", *fields])

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


class JsonFormatter(logging.Formatter):
    """One object, named like those of the gateway's log; `event` comes first."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def with_fields(**fields: object) -> dict[str, object]:
    """Make the `extra` of a record that has fields beside its message: numbers, text, lists."""
    return {"fields": fields}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def log_to_stderr() -> None:
    """Write the log of `handlers` to stderr, by FCNSERVE_LOG_FORMAT and FCNSERVE_LOG_LEVEL, and of
    TorchServe's loop its warnings only; a second call changes nothing.

    The loop writes two lines a batch at level info, one of them a metric. Java parses each with
    regular expressions, and log4j2.xml then drops it.
    """
    logger = logging.getLogger("handlers")
    if any(isinstance(each.formatter, HumanFormatter | JsonFormatter) for each in logger.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    is_json = os.environ.get(FORMAT) == "json"
    handler.setFormatter(JsonFormatter() if is_json else HumanFormatter())
    logger.addHandler(handler)
    logger.setLevel(os.environ.get(LEVEL, "info").upper())
    logger.propagate = False  # the root logger, as TorchServe sets it up, writes to stdout
    logging.getLogger().setLevel(logging.WARNING)
