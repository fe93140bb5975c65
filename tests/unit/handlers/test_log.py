"""The worker's lines: one a record, for people or for machines, with the request's id."""

import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from handlers.job import Job
from handlers.log import log_to_stderr, with_fields
from handlers.shared.wire import WorkerOptions
from tests.support.worker import FakeNetwork, jobs_of, pipeline, plain


@pytest.fixture(autouse=True)
def own_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Undo what a worker's start does to the logger."""
    logger, root = logging.getLogger("handlers"), logging.getLogger()
    monkeypatch.setattr(logger, "handlers", [])
    propagate, level, root_level = logger.propagate, logger.level, root.level
    yield logger
    logger.propagate = propagate
    logger.setLevel(level)
    root.setLevel(root_level)


def test_in_json_each_record_is_one_object_that_begins_with_its_event(
    own_logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FCNSERVE_LOG_FORMAT", "json")
    log_to_stderr()
    own_logger.getChild("stages.outcome").error(
        'a "quoted"\n%s',
        "é",
        exc_info=ZeroDivisionError("by zero"),
        extra=with_fields(request_id="a-1"),
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('{"event": "')
    assert line.isascii()
    fields = json.loads(line)
    assert datetime.now(UTC) - datetime.fromisoformat(fields.pop("timestamp")) < timedelta(
        minutes=1
    )
    assert fields == {
        "event": 'a "quoted"\né',
        "level": "error",
        "logger": "handlers.stages.outcome",
        "process": os.getpid(),
        "request_id": "a-1",
        "exception": "ZeroDivisionError: by zero",
    }


def test_of_torchserves_own_lines_only_warnings_are_written(own_logger: logging.Logger) -> None:
    log_to_stderr()
    for name in ("", "ts.metrics.caching_metric"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
    assert own_logger.isEnabledFor(logging.INFO)


def test_for_people_fields_follow_the_message(
    own_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    own_logger.error("failed", exc_info=ValueError("x"), extra=with_fields(request_id="a-1", n=2))
    assert capsys.readouterr().err == (
        "[error    ] failed [handlers] request_id=a-1 n=2 | ValueError: x\n"
    )


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_the_level_is_the_settings(
    own_logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    level: str,
    shown: int,
) -> None:
    monkeypatch.setenv("FCNSERVE_LOG_LEVEL", level)
    log_to_stderr()
    for write in (own_logger.debug, own_logger.info, own_logger.warning, own_logger.error):
        write("x")
    assert len(capsys.readouterr().err.splitlines()) == shown


def test_each_image_has_a_line_with_its_request_and_stages_when_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FCNSERVE_LOG_FORMAT", "json")
    monkeypatch.setenv("FCNSERVE_LOG_LEVEL", "debug")
    log_to_stderr()
    jobs = [
        Job(plain((9, 9), 1), WorkerOptions(request_id="a")),
        Job(b"none", WorkerOptions(request_id="b")),
    ]
    pipeline(FakeNetwork()).run(jobs)
    good, bad = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (good["event"], good["request_id"], good["media_type"]) == ("image", "a", "image/png")
    assert {"plan", "decode", "forward", "encode", "hold"} <= good.keys()
    assert (bad["request_id"], bad["media_type"]) == ("b", "application/problem+json")


def test_answered_images_are_logged_at_debug_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    pipeline(FakeNetwork()).run(jobs_of(plain((9, 9), 1), b"none"))
    assert capsys.readouterr().err == ""
