"""Locust's traffic: every route and output, every answer checked, latency by pipeline stage.

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8000

Options come from `LOADTEST_*` (`loadtest.traffic.options`). By default users wait for each answer
(closed loop). With `LOADTEST_LOOP=open` a user stands for one arrival per second, independent of
earlier answers, and latency counts from the time at which the request was due, so that queueing
shows. Run by the `locust` services of docker-compose.yml (profile `load`) and by
`loadtest.capacity.locust_run`; it needs Locust and the standard library alone.
"""

import logging
import random
import re
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import Any

from gevent.pool import Group
from locust import FastHttpUser, LoadTestShape, constant, events, task
from locust.env import Environment
from locust.runners import MasterRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from loadtest.traffic.album import read_album
from loadtest.traffic.checks import WrongAnswerError, check_answer, problem_code
from loadtest.traffic.options import TrafficOptions
from loadtest.traffic.reference import ReferenceAnswers, fetch_reference_answers
from loadtest.traffic.request_log import CORRECT, REFUSED, LoggedRequest, RequestLogWriter
from loadtest.traffic.requests import draw_requests
from loadtest.traffic.shapes import stage_at

CONNECTIONS = 1000  # of a user in an open loop
NO_REFERENCE_ANSWERS = 2  # exit code; 1 is Locust's for failures in its table
STOP_TIMEOUT_S = 60.0  # for requests in flight when a user stops

logger = logging.getLogger("fcnserve.loadtest")

OPTIONS = TrafficOptions.from_environment()
AUTHORIZATION = {"Authorization": f"Bearer {OPTIONS.key}"} if OPTIONS.key else {}
REQUESTS = draw_requests(read_album(OPTIONS.album), {} if OPTIONS.masks_only else None)
request_indices = cycle(range(len(REQUESTS)))


class Run:
    """The state of one test: reference answers, start time, request log."""

    reference = ReferenceAnswers(b"", ())
    begun: float | None = None
    log: RequestLogWriter | None = None


class CheckingUser(FastHttpUser):
    """Sends the requests in order; a wrong answer is a failure, a 429 an entry of its own."""

    abstract = True
    default_headers = AUTHORIZATION

    def send(self, index: int, due: float) -> None:
        """Send one request and record its outcome; its latency counts from `due`."""
        request = REQUESTS[index]
        body: Any = request.body  # Locust's annotation is str; it takes bytes
        late_ms = max(0.0, (time.time() - due) * 1000)
        with self.client.request(
            request.method,
            request.path,
            name=request.name,
            data=body,
            headers={"Content-Type": request.content_type} if request.content_type else {},
            catch_response=True,
        ) as answer:
            meta = answer.request_meta
            meta["response_time"] += late_ms
            outcome = outcome_of(index, answer)
            if outcome == CORRECT:
                answer.success()
            elif outcome.startswith(REFUSED):
                meta["request_type"], meta["name"] = REFUSED, outcome
                answer.success()
            else:
                answer.failure(outcome)
            stages_ms = read_server_timing(answer.headers or {}) if outcome == CORRECT else {}
        report_stages(self.environment, stages_ms)
        if Run.log:
            ms, images = meta["response_time"], len(request.sizes)
            Run.log.add(LoggedRequest(due, late_ms, ms, request.name, outcome, images, stages_ms))


def outcome_of(index: int, answer: Any) -> str:
    """Classify an answer: correct, refused (429 and its code), or the reason of a failure."""
    if answer.status_code == 0:
        return f"no answer: {type(answer.error).__name__}"
    body = answer.content or b""
    if answer.status_code != HTTPStatus.OK:
        return f"{answer.status_code} {problem_code(body)}"
    content_type = answer.headers.get("Content-Type", "")
    try:
        pieces = check_answer(REQUESTS[index], content_type, body, Run.reference.palette)
    except WrongAnswerError as error:
        return str(error)
    is_same = pieces == Run.reference.answers[index]
    return CORRECT if is_same else "bytes differ from the reference answer"


def read_server_timing(headers: Mapping[str, str]) -> dict[str, float]:
    """Read `Server-Timing` (W3C): milliseconds by verb."""
    found = re.findall(r"(\w+);dur=([\d.]+)", headers.get("Server-Timing", ""))
    return {verb: float(ms) for verb, ms in found}


def report_stages(environment: Any, stages_ms: Mapping[str, float]) -> None:
    """Add an entry per verb to Locust's tables."""
    for verb, ms in stages_ms.items():
        environment.events.request.fire(
            request_type="STAGE",
            name=verb,
            response_time=ms,
            response_length=0,
            exception=None,
            context={},
        )


class ClosedLoopUser(CheckingUser):
    """Sends its next request once it has the answer to the last."""

    abstract = OPTIONS.loop != "closed"
    wait_time = constant(0)

    @task
    def send_next(self) -> None:
        self.send(next(request_indices), time.time())


class OpenLoopUser(CheckingUser):
    """Sends one request in each second, at a random moment, independent of earlier answers."""

    abstract = OPTIONS.loop != "open"
    concurrency = CONNECTIONS

    def on_start(self) -> None:
        self.rng = random.Random()
        self.in_flight = Group()
        self.second = time.time()
        self.due = self.second + self.rng.random()

    def wait_time(self) -> float:
        return max(0.0, self.due - time.time())

    @task
    def send_when_due(self) -> None:
        if self.due > time.time():
            return
        self.in_flight.spawn(self.send, next(request_indices), self.due)
        self.second += 1
        self.due = self.second + self.rng.random()

    def on_stop(self) -> None:
        self.in_flight.join(timeout=STOP_TIMEOUT_S)


@events.test_start.add_listener
def start_run(environment: Environment, **_: Any) -> None:
    """Fetch the reference answers, then let the load stages begin."""
    if not isinstance(environment.runner, MasterRunner):
        host = (environment.host or "").rstrip("/")
        try:
            Run.reference = fetch_reference_answers(host, REQUESTS, AUTHORIZATION)
        except (OSError, WrongAnswerError) as error:  # Locust would go on
            logger.critical("no reference answers from %s: %s", environment.host, error)
            raise SystemExit(NO_REFERENCE_ANSWERS) from error
    if OPTIONS.log:
        Run.log = RequestLogWriter(OPTIONS.log)
    Run.begun = time.time()
    if Run.log:
        Run.log.begin(Run.begun)


@events.test_stop.add_listener
def stop_run(**_: Any) -> None:
    """Let the next test of the web interface begin at its first stage."""
    Run.begun = None


@events.quitting.add_listener
def close_log(**_: Any) -> None:
    if Run.log:
        Run.log.close()


if shape := OPTIONS.find_shape():
    STAGES = shape.stages(OPTIONS.capacity, OPTIONS.seconds)

    class StagedLoad(LoadTestShape):
        """The shape that `LOADTEST_SHAPE` names."""

        def tick(self) -> tuple[int, float] | None:
            """Return the number of users and the spawn rate: all users start at once."""
            second = time.time() - Run.begun if Run.begun else 0.0
            stage = stage_at(STAGES, second)
            return (stage.users, float(max(100, stage.users))) if stage else None
