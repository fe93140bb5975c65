"""A job is read from a request's body and options header; an answer carries a mask or a problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.job import Answer, Job, read_job
from handlers.shared.errors import BrokenImageError, ProblemError, WorkerFailedError, read_problem
from handlers.shared.wire import Report, WorkerOptions


@pytest.mark.parametrize("header", [None, "", "{}"], ids=["missing", "empty", "no-option"])
def test_without_options_the_output_is_a_mask(header: str | None) -> None:
    expected = Job(b"photo", WorkerOptions(output="mask", orientation="exif"))
    assert read_job(b"photo", header) == expected


def test_options_are_read() -> None:
    header = (
        '{"output":"confidence", "orientation": "stored", "max_side": 640, "request_id": "a-1/2"}'
    )
    expected = WorkerOptions(
        output="confidence", orientation="stored", max_side=640, request_id="a-1/2"
    )
    assert read_job(bytearray(b"photo"), header) == Job(bytearray(b"photo"), expected)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("{", id="no-json"),
        pytest.param("[]", id="list"),
        pytest.param("null", id="null"),
        pytest.param('{"otput": "mask"}', id="unknown-option"),
        pytest.param('{"output": "poem"}', id="unknown-output"),
        pytest.param('{"max_side": 0}', id="below-range"),
        pytest.param('{"max_side": 1e400}', id="infinite"),
        pytest.param('{"output": "m\udcff"}', id="unpaired-surrogate"),
        pytest.param('{"request_id": "a\\nb"}', id="id-of-two-lines"),
        pytest.param('{"request_id": "' + 129 * "a" + '"}', id="endless-id"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_invalid_options_are_a_problem_that_does_not_quote_them(header: str) -> None:
    problem = read_job(b"photo", header)
    assert isinstance(problem, WorkerFailedError)
    assert "X-Fcnserve-Options" in str(problem)
    assert str(problem).isascii()


@given(st.text())
def test_no_options_header_raises(header: str) -> None:
    assert isinstance(read_job(b"", header), Job | ProblemError)


def test_a_problem_survives_the_way_to_the_gateway() -> None:
    answer = Answer.of_problem(BrokenImageError("the image ends early"), Report({}))
    assert answer.media_type == "application/problem+json"
    assert answer.body.isascii()
    problem = read_problem(answer.body)
    assert isinstance(problem, BrokenImageError)
    assert str(problem) == "the image ends early"
