"""Locust's traffic: every route and output, each answer looked at; times by stage as entries.

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8000

Without `LOADTEST_*` (`loadtest.traffic.environment`), users wait for each answer (closed loop).
With `LOADTEST_LOOP=open` a user stands for one arrival a second, whatever becomes of those before,
and latency counts from when the request was due: a queue cannot hide. Run by the `locust` services
of docker-compose.yml (profile `load`) and by `loadtest.capacity.locust_run`; it needs Locust and
nothing else.
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
from loadtest.traffic.checks import WrongAnswerError, check, problem_code
from loadtest.traffic.environment import Traffic
from loadtest.traffic.record import REFUSED, RIGHT, Recorder, Row
from loadtest.traffic.reference import Lone, ask_alone
from loadtest.traffic.requests import draw_errands
from loadtest.traffic.shapes import stage_at

CONNECTIONS = 1000  # of a user who does not wait
NO_LONE_ANSWERS = 2  # exit code; 1 is Locust's for failures in its table
PATIENCE_S = 60.0  # for what is still on its way when a user goes

logger = logging.getLogger("fcnserve.loadtest")

TRAFFIC = Traffic.told()
KEY = {"Authorization": f"Bearer {TRAFFIC.key}"} if TRAFFIC.key else {}
ERRANDS = draw_errands(read_album(TRAFFIC.album), {} if TRAFFIC.masks_only else None)
turns = cycle(range(len(ERRANDS)))


class Run:
    """What one test knows: the lone answers, when it began, where rows go."""

    lone = Lone(b"", ())
    begun: float | None = None
    recorder: Recorder | None = None


class CheckingUser(FastHttpUser):
    """Sends errands in turn; a wrong answer is a failure, a 429 an entry of its own."""

    abstract = True
    default_headers = KEY

    def send(self, place: int, due: float) -> None:
        """See one request through; its time counts from `due`."""
        errand = ERRANDS[place]
        body: Any = errand.body  # Locust says str and takes bytes
        late_ms = max(0.0, (time.time() - due) * 1000)
        with self.client.request(
            errand.method,
            errand.path,
            name=errand.name,
            data=body,
            headers={"Content-Type": errand.content_type} if errand.content_type else {},
            catch_response=True,
        ) as answer:
            meta = answer.request_meta
            meta["response_time"] += late_ms
            outcome = judge(place, answer)
            if outcome == RIGHT:
                answer.success()
            elif outcome.startswith(REFUSED):
                meta["request_type"], meta["name"] = REFUSED, outcome
                answer.success()
            else:
                answer.failure(outcome)
            stages_ms = read_server_timing(answer.headers or {}) if outcome == RIGHT else {}
        tell_stages(self.environment, stages_ms)
        if Run.recorder:
            ms, images = meta["response_time"], len(errand.sizes)
            Run.recorder.add(Row(due, late_ms, ms, errand.name, outcome, images, stages_ms))


def judge(place: int, answer: Any) -> str:
    """Say what an answer is: right, refused (429 and its code), or why it is neither."""
    if answer.status_code == 0:
        return f"no answer: {type(answer.error).__name__}"
    body = answer.content or b""
    if answer.status_code != HTTPStatus.OK:
        return f"{answer.status_code} {problem_code(body)}"
    errand = ERRANDS[place]
    try:
        pieces = check(errand, answer.headers.get("Content-Type", ""), body, Run.lone.palette)
    except WrongAnswerError as wrong:
        return str(wrong)
    return RIGHT if pieces == Run.lone.answers[place] else "other bytes than the lone answer's"


def read_server_timing(headers: Mapping[str, str]) -> dict[str, float]:
    """Read `Server-Timing` (W3C): milliseconds by verb."""
    found = re.findall(r"(\w+);dur=([\d.]+)", headers.get("Server-Timing", ""))
    return {verb: float(ms) for verb, ms in found}


def tell_stages(environment: Any, stages_ms: Mapping[str, float]) -> None:
    """Have Locust's tables split latency by verb."""
    for verb, ms in stages_ms.items():
        environment.events.request.fire(
            request_type="STAGE",
            name=verb,
            response_time=ms,
            response_length=0,
            exception=None,
            context={},
        )


class WaitingUser(CheckingUser):
    """A closed loop: the next request once the last has its answer."""

    abstract = TRAFFIC.loop != "closed"
    wait_time = constant(0)

    @task
    def ask(self) -> None:
        self.send(next(turns), time.time())


class ArrivingUser(CheckingUser):
    """An open loop: one arrival in each second, at random within it, whatever becomes of others."""

    abstract = TRAFFIC.loop != "open"
    concurrency = CONNECTIONS

    def on_start(self) -> None:
        self.dice = random.Random()
        self.on_their_way = Group()
        self.second = time.time()
        self.due = self.second + self.dice.random()

    def wait_time(self) -> float:
        return max(0.0, self.due - time.time())

    @task
    def arrive(self) -> None:
        if self.due > time.time():
            return
        self.on_their_way.spawn(self.send, next(turns), self.due)
        self.second += 1
        self.due = self.second + self.dice.random()

    def on_stop(self) -> None:
        self.on_their_way.join(timeout=PATIENCE_S)


@events.test_start.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Ask for everything alone, then let the stages begin."""
    if not isinstance(environment.runner, MasterRunner):
        try:
            Run.lone = ask_alone((environment.host or "").rstrip("/"), ERRANDS, KEY)
        except (OSError, WrongAnswerError) as error:  # Locust would go on
            logger.critical("no lone answers from %s: %s", environment.host, error)
            raise SystemExit(NO_LONE_ANSWERS) from error
    if TRAFFIC.log:
        Run.recorder = Recorder(TRAFFIC.log)
    Run.begun = time.time()
    if Run.recorder:
        Run.recorder.begin(Run.begun)


@events.test_stop.add_listener
def end(**_: Any) -> None:
    """Have the next test, from the web interface, begin at its first stage."""
    Run.begun = None


@events.quitting.add_listener
def close(**_: Any) -> None:
    if Run.recorder:
        Run.recorder.close()


if shape := TRAFFIC.wanted_shape():
    STAGES = shape.stages(TRAFFIC.capacity, TRAFFIC.seconds)

    class StageTimes(LoadTestShape):
        """The shape that `LOADTEST_SHAPE` names."""

        def tick(self) -> tuple[int, float] | None:
            """Users and users a second that start: all at once."""
            second = time.time() - Run.begun if Run.begun else 0.0
            stage = stage_at(STAGES, second)
            return (stage.users, float(max(100, stage.users))) if stage else None
