"""The wire between gateway and worker: headers of one ASCII line, whatever they tell."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.shared.errors import BrokenImageError, ProblemError, WorkerFailedError, read_problem
from handlers.shared.wire import Answer, GroupFigures, Job, Options, Report, read_job

milliseconds = st.floats(0, 1e9)


@pytest.mark.parametrize("header", [None, "", "{}"], ids=["missing", "empty", "no-option"])
def test_without_options_a_mask_is_meant(header: str | None) -> None:
    assert read_job(b"photo", header) == Job(b"photo", Options(output="mask", orientation="exif"))


def test_options_are_read() -> None:
    header = (
        '{"output":"confidence", "orientation": "stored", "max_side": 640, "request_id": "a-1/2"}'
    )
    expected = Options(output="confidence", orientation="stored", max_side=640, request_id="a-1/2")
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
        pytest.param('{"output": "m\udcff"}', id="lone-surrogate"),
        pytest.param('{"request_id": "a\\nb"}', id="id-of-two-lines"),
        pytest.param('{"request_id": "' + 129 * "a" + '"}', id="endless-id"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_options_that_no_gateway_sends_are_a_problem_and_are_not_quoted(header: str) -> None:
    problem = read_job(b"photo", header)
    assert isinstance(problem, WorkerFailedError)
    assert "X-Fcnserve-Options" in str(problem)
    assert str(problem).isascii()


@given(st.text())
def test_no_options_header_raises(header: str) -> None:
    assert isinstance(read_job(b"", header), Job | ProblemError)


@given(
    st.dictionaries(st.text(), milliseconds, max_size=6),
    st.none() | st.integers(1, 256),
    st.none() | st.builds(GroupFigures, *(3 * [st.integers(0)])),
    st.dictionaries(st.integers(0, 255), st.integers(1)),
)
def test_a_report_is_one_ascii_line_that_reads_back(
    stages_ms: dict[str, float],
    batch_images: int | None,
    group: GroupFigures | None,
    class_pixels: dict[int, int],
) -> None:
    line = Report(stages_ms, batch_images, group, class_pixels).json()
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    assert told["stages_ms"] == pytest.approx(stages_ms, abs=1e-3)
    assert told["batch_images"] == batch_images
    assert told["class_pixels"] == {str(number): px for number, px in class_pixels.items()}
    assert told["group"] == (
        None
        if group is None
        else {
            "images": group.images,
            "valid_pixels": group.valid_pixels,
            "padded_pixels": group.padded_pixels,
        }
    )


def test_with_stages_leaves_the_report_as_it_was() -> None:
    report = Report({"plan": 1.0}, batch_images=2)
    assert report.with_stages(encode=3.0) == Report({"plan": 1.0, "encode": 3.0}, batch_images=2)
    assert report == Report({"plan": 1.0}, batch_images=2)


def test_a_problem_survives_the_way_to_the_gateway() -> None:
    answer = Answer.of_problem(BrokenImageError("the image ends early"), Report({}))
    assert answer.media_type == "application/problem+json"
    assert answer.body.isascii()
    problem = read_problem(answer.body)
    assert isinstance(problem, BrokenImageError)
    assert str(problem) == "the image ends early"
