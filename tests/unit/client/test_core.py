"""What the clients send, and when they send it again: the core alone, with a clock of the test."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

import service.errors  # noqa: F401 - defines the subclasses of ProblemError
from fcnserve_client import errors, problems
from fcnserve_client.errors import FcnserveError
from fcnserve_client.http.answer import Answer
from fcnserve_client.http.core import JSON, Core, Exchange, Send, Wait
from fcnserve_client.http.options import segment_query
from fcnserve_client.http.retries import LONGEST_WAIT_S, RetryPolicy
from handlers.shared.errors import ProblemError as ServerProblemError
from handlers.shared.png import write_grey_alpha
from tests.support.clock import Clock
from tests.unit.client.test_segmentation import MODEL, blobs, card

Result = TypeVar("Result")
URL = "http://example.org"
LABELS = blobs((8, 9))
PNG = write_grey_alpha(LABELS, LABELS)
PHOTO = b"photo"

Came = Answer | FcnserveError


def answer(body: bytes = PNG, status: int = 200, **headers: str) -> Answer:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    usual = {
        "content-type": "image/png",
        "content-digest": f"sha-256=:{digest}:",
        "x-model": MODEL.tag,
        "server-timing": "read;dur=1.5, forward;dur=20",
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, usual | named, body)


def a_card(**changes: Any) -> Answer:
    return answer(json.dumps(card() | changes).encode(), content_type="application/json")


def problem(code: str, status: int, **headers: str) -> Answer:
    body = json.dumps({"code": code, "detail": "the reason", "status": status}).encode()
    return answer(body, status, content_type="application/problem+json", **headers)


@dataclass
class Server:
    """Answers an exchange in the order given; each request and pause moves the clock."""

    came: Iterable[Came]
    clock: Clock = field(default_factory=Clock)
    chance: float = 0.0
    answer_s: float = 0.0
    sent: list[Send] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def core(self, timeout_s: float = 60, max_retries: int = 10, key: str | None = None) -> Core:
        policy = RetryPolicy(timeout_s, max_retries, self.clock.monotonic, lambda: self.chance)
        return Core(URL, key, policy)

    def run(self, exchange: Exchange[Result]) -> Result:
        answers, came = iter(self.came), None
        while True:
            try:
                step = exchange.send(came)
            except StopIteration as done:
                result: Result = done.value
                return result
            match step:
                case Send():
                    self.sent.append(step)
                    self.clock.advance(self.answer_s)
                    came = next(answers)
                case Wait():
                    self.waits.append(step.seconds)
                    self.clock.advance(step.seconds)
                    came = None

    def segment(self, **options: Any) -> Any:
        return self.run(self.core().segment(PHOTO, options))()  # type: ignore[arg-type]  # any


BUSY = problem("busy", 429, retry_after="3")


def test_a_photo_takes_one_request_and_each_model_one_more() -> None:
    server = Server([answer(x_request_id="theirs"), a_card(), answer()])
    core = server.core(key="secret")
    seg = server.run(core.segment(PHOTO, {"classes": ["cat", 2], "min_area": 5}))()
    assert (seg.labels == LABELS).all()
    assert (seg.model, seg.request_id) == (MODEL, "theirs")
    assert seg.timing == {"read": 1.5, "forward": 20}
    assert seg.photo == PHOTO
    server.run(core.segment(PHOTO, {}))
    first, second, third = server.sent
    assert [each.method for each in server.sent] == ["POST", "GET", "POST"]
    assert first.url == f"{URL}/v1/segment"
    assert first.query == (
        *(("output", "confidence"), ("classes", "cat"), ("classes", "2"), ("min_area", "5")),
    )
    assert second.url == f"{URL}/v1/models/toy"
    assert first.headers["X-Request-ID"] == second.headers["X-Request-ID"]
    assert first.headers["X-Request-ID"] != third.headers["X-Request-ID"]
    assert {each.headers["Authorization"] for each in server.sent} == {"Bearer secret"}
    assert "secret" not in repr(core) + repr(server.sent)


TRANSIENT: list[Came] = [
    BUSY,
    problem("worker_crashed", 502),
    problem("not_ready", 503),
    problem("deadline_exceeded", 504),
    problem("of_a_later_server", 503),
    answer(b"<html>", 502, content_type="text/html", x_model=""),
    answer(content_digest="sha-256=:AAAA:"),
    errors.ConnectionFailedError("refused"),
]
LASTING: list[tuple[Came, type[FcnserveError]]] = [
    (problem("broken_image", 400), problems.BrokenImageError),
    (problem("unauthorized", 401), problems.UnauthorizedError),
    (problem("worker_failed", 500), problems.WorkerFailedError),
    (problem("of_a_later_server", 418), problems.ProblemError),
    (answer(b"", 307, location="http://elsewhere"), errors.RedirectedError),
    (answer(b"<html>", content_type="text/html"), errors.UnexpectedAnswerError),
    (answer(b"<html>", 404, content_type="text/html"), errors.UnexpectedAnswerError),
    (answer(x_model=""), errors.UnexpectedAnswerError),
    (answer(b"no png"), errors.UnexpectedAnswerError),
    (errors.CertificateError("self-signed"), errors.CertificateError),
    (errors.RequestTimeoutError("over"), errors.RequestTimeoutError),
]


@pytest.mark.parametrize("failure", TRANSIENT, ids=str)
def test_what_may_pass_is_tried_again(failure: Came) -> None:
    server = Server([failure, failure, answer(), a_card()])
    assert (server.segment().labels == LABELS).all()
    posts = [each for each in server.sent if each.method == "POST"]
    assert len({each.headers["X-Request-ID"] for each in posts}) == 1
    assert len(posts) == 3


@pytest.mark.parametrize(("failure", "kind"), LASTING, ids=lambda value: str(value)[:60])
def test_what_will_not_pass_is_raised_at_once(failure: Came, kind: type[FcnserveError]) -> None:
    server = Server([failure, a_card()])
    with pytest.raises(kind) as caught:
        server.segment()
    assert type(caught.value) is kind
    assert [each.method for each in server.sent].count("POST") == 1
    assert server.waits == []
    if isinstance(failure, Answer):
        assert caught.value.status == failure.status
        assert caught.value.request_id == server.sent[0].headers["X-Request-ID"]


def test_waits_grow_are_random_and_begin_at_retry_after() -> None:
    failures: list[Came] = [problem("not_ready", 503)] * 7
    longest = Server([*failures, answer(), a_card()], chance=1.0)
    longest.segment()
    assert longest.waits == [0.25, 0.5, 1, 2, 4, 8, LONGEST_WAIT_S]
    half = Server([*failures, answer(), a_card()], chance=0.5)
    half.segment()
    assert half.waits == [wait / 2 for wait in longest.waits]
    floor = Server([BUSY, BUSY, answer(), a_card()], chance=0.5)
    floor.segment()
    assert floor.waits == [3.125, 3.25]


def test_all_attempts_and_waits_have_one_total_time() -> None:
    server = Server([BUSY] * 100, answer_s=2.0)
    with pytest.raises(problems.BusyError) as caught:
        server.run(server.core(timeout_s=14, max_retries=50).segment(PHOTO, {}))
    assert [each.within_s for each in server.sent] == [14, 9, 4]
    assert server.waits == [3, 3]  # a third would end after the total time
    error = caught.value
    assert (error.code, error.status, error.retry_after) == ("busy", 429, 3.0)
    assert "the reason [busy, request " in str(error)


def test_an_attempt_that_ends_with_the_total_time_names_the_failure_before() -> None:
    server = Server([problem("not_ready", 503), errors.RequestTimeoutError("over")])
    with pytest.raises(errors.RequestTimeoutError) as caught:
        server.segment()
    assert isinstance(caught.value.__cause__, problems.NotReadyError)
    assert isinstance(caught.value, TimeoutError)


def test_the_number_of_retries_is_bounded() -> None:
    server = Server([problem("not_ready", 503)] * 100)
    with pytest.raises(problems.NotReadyError):
        server.run(server.core(max_retries=2).segment(PHOTO, {}))
    assert len(server.sent) == 3


def test_a_model_replaced_meanwhile_has_the_photo_segmented_again() -> None:
    new = a_card(digest="d2")
    server = Server([answer(), new, answer(x_model="toy@d2")])
    assert server.segment().model.digest == "d2"
    assert [each.method for each in server.sent] == ["POST", "GET", "POST"]
    server = Server([answer(), new] * 20)
    with pytest.raises(errors.ModelChangedError, match="toy@d1 became toy@d2"):
        server.segment()


def test_a_server_is_awaited_until_it_is_ready() -> None:
    ready = answer(b"{}", content_type="application/json")
    server = Server([*[errors.ConnectionFailedError("refused")] * 30, ready], chance=0.01)
    server.run(server.core(max_retries=0).ready(within_s=60))
    assert {each.url for each in server.sent} == {f"{URL}/readyz"}
    never = Server([errors.ConnectionFailedError("refused")] * 900, chance=1.0)
    with pytest.raises(errors.ConnectionFailedError):
        never.run(never.core().ready(within_s=60))


@pytest.mark.parametrize("body", [b"[", b"{}", b"5", b'[{"name": 1}]', b"[5]"])
def test_a_list_of_models_that_is_none_is_unexpected(body: bytes) -> None:
    server = Server([answer(body, content_type="application/json")])
    with pytest.raises(errors.UnexpectedAnswerError):
        server.run(server.core().list_models())


def test_each_code_of_the_server_has_a_class_of_its_own() -> None:
    kinds = {kind.code: kind for kind in ServerProblemError.__subclasses__()}
    for code, server_kind in kinds.items():
        kind = problems.kind_of(code, server_kind.status)
        assert (kind.code, kind.status) == (code, server_kind.status)
        assert kind.__name__ == server_kind.__name__
        assert kind.is_transient == (server_kind.status in problems.TRANSIENT_STATUSES)
    assert {kind.code for kind in leaves(problems.ProblemError)} == kinds.keys()
    own = leaves(FcnserveError, but=problems.ProblemError)
    assert not {kind.code for kind in own} & kinds.keys()


def leaves(kind: type[FcnserveError], but: type | None = None) -> list[type[FcnserveError]]:
    below = [each for each in kind.__subclasses__() if each is not but]
    return [leaf for each in below for leaf in leaves(each)] or [kind]


@pytest.mark.parametrize("kind", [problems.BusyError, errors.RequestTimeoutError])
def test_errors_can_be_sent_to_other_processes(kind: type[FcnserveError]) -> None:
    import pickle

    error = kind("the reason", status=429, request_id="r", retry_after=2)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copied), vars(copied)) == (kind, vars(error))


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"unknown options: \['clases'\]; known: .*classes"):
        segment_query({"clases": "cat"})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize(
    "timing", ["a;dur=1.2.3", "a;dur=.", "a;dur=", "a;desc=b", ";;,", "a;dur=1e999"]
)
def test_a_timing_that_cannot_be_read_costs_no_result(timing: str) -> None:
    server = Server([answer(server_timing=f"{timing}, forward;dur=20"), a_card()])
    assert server.segment().timing["forward"] == 20


def test_waiting_goes_on_however_often_a_server_was_not_ready() -> None:
    """A float has no 2**1024."""
    attempts = 1500
    server = Server([*[problem("not_ready", 503)] * attempts, answer(b"{}", content_type=JSON)])
    server.run(server.core().ready(1e9))
    assert len(server.sent) == attempts + 1
