"""Log lines: their text is structlog's own, and none is lost or late."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from datetime import datetime
from typing import Any

import pytest
import structlog

from service import logs
from service.logs.lines import MAX_WRITE_BYTES, Lines, joined_writes
from service.settings import Settings

TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
FIELDS: dict[str, Any] = {
    "method": "POST",
    "route": "/v1/segment",
    "status": 200,
    "ms": 12.5,
    "request_id": "a=b",
    "key": "the 'first' key\n",
    "umlaut": "ä",
    "empty": "",
    "nothing": None,
    "several": ["a", 1],
    "kind": int,
}


class Stream(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.fixture
def stderr() -> Iterator[Stream]:
    """The stream of log lines; the configuration before is put back."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield Stream()
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def configure(stderr: Stream, log_format: str, log_level: str = "info") -> None:
    with redirect_stderr(stderr):
        logs.configure(Settings(log_format=log_format, log_level=log_level))  # type: ignore[arg-type]  # names


def expected(
    log_format: str, level: str, name: str, /, event: str = "request", **fields: object
) -> str:
    """Render a line by structlog alone."""
    line = {**fields, "event": event, "level": level, "logger": name, "timestamp": "NOW"}
    renderer: Callable[..., str | bytes] = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    line = dict(structlog.processors.format_exc_info(None, level, line))
    return f"{renderer(None, level, line)!s}\n"


@pytest.mark.parametrize("log_format", ["json", "human"])
@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_a_line_is_what_structlog_writes(stderr: Stream, log_format: str, level: str) -> None:
    configure(stderr, log_format)
    getattr(structlog.get_logger("fcnserve.x"), level)("request", **FIELDS)
    line = TIME.sub("NOW", stderr.getvalue())
    assert line == expected(log_format, level, "fcnserve.x", **FIELDS)


@pytest.mark.parametrize("log_format", ["json", "human"])
@pytest.mark.parametrize("event", ["", "two words", "a=b", "ends with a space "])
@pytest.mark.parametrize("fields", [{}, {"stack": "of\ncalls"}, {"exception": "E"}], ids=str)
def test_any_event_is_what_structlog_writes(
    stderr: Stream, log_format: str, event: str, fields: dict[str, Any]
) -> None:
    configure(stderr, log_format)
    structlog.get_logger("x").info(event, **fields)
    line = TIME.sub("NOW", stderr.getvalue())
    assert line == expected(log_format, "info", "x", event=event, **fields)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "warn", "error", "critical"])
def test_a_level_is_named_as_structlog_names_it(stderr: Stream, level: str) -> None:
    configure(stderr, "json", "debug")
    getattr(structlog.get_logger("x"), level)("request")
    event = structlog.stdlib.add_log_level(None, level, {})
    assert json.loads(stderr.getvalue())["level"] == event["level"]


def test_the_time_is_what_structlog_writes(stderr: Stream) -> None:
    configure(stderr, "json")
    stamp = structlog.processors.TimeStamper(fmt="iso")
    before = stamp(None, "info", {})["timestamp"]
    structlog.get_logger("x").warning("request")
    seen, after = json.loads(stderr.getvalue())["timestamp"], stamp(None, "info", {})["timestamp"]
    assert TIME.fullmatch(seen)
    times = [datetime.fromisoformat(each) for each in (before, seen, after)]
    assert times == sorted(times)


@pytest.mark.parametrize("log_format", ["json", "human"])
def test_a_traceback_is_what_structlog_writes(stderr: Stream, log_format: str) -> None:
    configure(stderr, log_format)
    error = ValueError("no")
    structlog.get_logger("x").exception("request", exc_info=error)
    line = TIME.sub("NOW", stderr.getvalue())
    assert line == expected(log_format, "error", "x", exc_info=error)
    assert "ValueError: no" in line


def test_lines_of_other_libraries_have_the_same_form(stderr: Stream) -> None:
    configure(stderr, "json")
    logging.getLogger("uvicorn.error").warning("%s is late", "it")
    line = json.loads(stderr.getvalue())
    assert (line["event"], line["level"], line["logger"]) == (
        "it is late",
        "warning",
        "uvicorn.error",
    )


def test_less_severe_lines_are_dropped(stderr: Stream) -> None:
    configure(stderr, "json", "error")
    structlog.get_logger("x").warning("request")
    logging.getLogger("x").warning("request")
    assert stderr.getvalue() == ""


async def test_lines_wait_for_a_moment_and_are_written_together(stderr: Stream) -> None:
    configure(stderr, "json")
    logger = structlog.get_logger("x")
    for number in range(10):
        logger.info("request", number=number)
    assert stderr.getvalue() == ""
    async with asyncio.timeout(10):
        while not stderr.writes:  # noqa: ASYNC110 - a stream has no event
            await asyncio.sleep(0.005)
    numbers = [json.loads(line)["number"] for line in stderr.getvalue().splitlines()]
    assert numbers == list(range(10))
    assert len(stderr.writes) == 1


@pytest.mark.parametrize("from_library", [True, False])
async def test_a_warning_is_written_at_once_behind_the_lines_before(
    stderr: Stream, from_library: bool
) -> None:
    configure(stderr, "json")
    structlog.get_logger("x").info("first")
    logger = logging.getLogger("x") if from_library else structlog.get_logger("x")
    logger.warning("second")
    events = [json.loads(line)["event"] for line in stderr.getvalue().splitlines()]
    assert events == ["first", "second"]


async def test_what_waits_at_the_end_of_the_loop_is_written_with_the_next_line() -> None:
    lines = Lines(stream := Stream())
    lines.write("first")
    await asyncio.to_thread(lines.write, "second")  # there is no loop in a thread
    await asyncio.to_thread(lines.flush)  # as at the end of the process
    assert stream.getvalue() == "first\nsecond\n"


async def test_the_end_of_the_process_writes_what_waits(stderr: Stream) -> None:
    configure(stderr, "json")
    structlog.get_logger("x").info("last")
    assert stderr.getvalue() == ""
    logging.shutdown()
    assert json.loads(stderr.getvalue())["event"] == "last"


def test_a_closed_stream_ends_nothing() -> None:
    lines = Lines(stream := Stream())
    stream.close()
    lines.write_now("lost")


def test_no_write_divides_a_line_or_exceeds_the_limit_of_pipes() -> None:
    lines = [f"{'ä' * (number % 700)}\n" for number in range(0, 20_000, 37)]
    lines.insert(7, "x" * 10_000 + "\n")
    writes = joined_writes(lines)
    assert "".join(writes) == "".join(lines)
    assert len(writes) < len(lines) / 2
    for text in writes:
        assert text.endswith("\n")
        assert len(text.encode()) <= MAX_WRITE_BYTES or text.count("\n") == 1
    assert joined_writes([]) == []
