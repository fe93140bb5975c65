"""Jobs are read from a request's body; an answer carries a mask or a problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.job import Answer, Job, JointRequest, joint_body, read_job
from handlers.shared.errors import BrokenImageError, ProblemError, WorkerFailedError, read_problem
from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import ANSWER_SECTIONS, IMAGES_MEDIA_TYPE, Report, WorkerOptions


def test_without_options_the_output_is_a_mask() -> None:
    expected = Job(b"photo", WorkerOptions(output="mask", orientation="exif"))
    assert read_job(b"photo", b"{}") == expected


def test_options_are_read() -> None:
    line = (
        b'{"output":"confidence", "orientation": "stored", "max_side": 640, "request_id": "a-1/2"}'
    )
    expected = WorkerOptions(
        output="confidence", orientation="stored", max_side=640, request_id="a-1/2"
    )
    assert read_job(b"photo", line) == Job(b"photo", expected)


def joint(*sections: bytes) -> bytearray:
    return bytearray(b"".join(with_lengths(sections)))


def test_a_request_has_several_images_each_with_its_options() -> None:
    body = joint(b"{}", b"one", b'{"max_side":64}', b"two", b"nonsense", b"three")
    request = JointRequest.read(body, IMAGES_MEDIA_TYPE)
    assert not request.is_plain
    *good, bad = request.jobs
    assert good == [Job(b"one"), Job(b"two", WorkerOptions(max_side=64))]
    assert isinstance(bad, WorkerFailedError)


@pytest.mark.parametrize("media_type", [None, "image/jpeg", "application/octet-stream"])
def test_a_body_of_another_media_type_is_one_photo(media_type: str | None) -> None:
    body = joint(b"{}", b"one")
    assert JointRequest.read(body, media_type) == JointRequest([Job(body)], is_plain=True)


@pytest.mark.parametrize("body", [bytearray(), joint(b"{}"), joint(b"{}", b"one") + b"more"])
def test_a_malformed_request_is_one_problem(body: bytearray) -> None:
    request = JointRequest.read(body, IMAGES_MEDIA_TYPE)
    (problem,) = request.jobs
    assert request.is_plain
    assert isinstance(problem, WorkerFailedError)
    assert "same release" in str(problem)


def test_answers_are_written_in_the_order_of_their_images() -> None:
    answers = [Answer(b"mask", "image/png", Report({"plan": 1.0})), Answer(b"", "a/b", Report({}))]
    images = split_sections(joint_body(answers), ANSWER_SECTIONS)
    assert [list(map(bytes, image)) for image in images] == [
        [answer.media_type.encode(), answer.report.to_json().encode(), answer.body]
        for answer in answers
    ]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("", id="empty"),
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
def test_invalid_options_are_a_problem_that_does_not_quote_them(options: str) -> None:
    problem = read_job(b"photo", options.encode(errors="surrogateescape"))
    assert isinstance(problem, WorkerFailedError)
    assert "same release" in str(problem)
    assert str(problem).isascii()


@given(st.binary() | st.text().map(str.encode))
def test_no_options_raise(options: bytes) -> None:
    assert isinstance(read_job(b"", options), Job | ProblemError)


def test_a_problem_survives_the_way_to_the_gateway() -> None:
    answer = Answer.of_problem(BrokenImageError("the image ends early"), Report({}))
    assert answer.media_type == "application/problem+json"
    assert answer.body.isascii()
    problem = read_problem(answer.body)
    assert isinstance(problem, BrokenImageError)
    assert str(problem) == "the image ends early"
