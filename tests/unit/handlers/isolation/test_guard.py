"""Images that end their worker process: found out, refused, and no harm to whoever was beside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from handlers.isolation import isolation as guard_module
from handlers.isolation import suspects as suspects_module
from handlers.isolation.quarantine import Guard, RecordingGuard, TimeLimits
from handlers.isolation.suspects import Suspects
from handlers.job import Job
from handlers.shared.errors import ProblemError
from handlers.shared.flight_recorder import Active, Entry, FlightRecorder, last_signs_s, take_ended
from handlers.shared.wire import WorkerOptions
from tests.support.crashing_images import copy_of_worker, killer
from tests.support.photos import jpeg, photo

GOOD = jpeg(photo(32, 48))
CRASHES, TOO_LONG = "image_crashes_worker", "image_takes_too_long"
LIMIT_S = 20.0
LIMITS = TimeLimits(LIMIT_S)
WITHIN_S = 60.0

# decodes each batch that comes as a line, as the pipeline does: together, then one by one
WORKER = """
import json, sys
from itertools import chain
from pathlib import Path
from handlers import photo
from handlers.isolation.crash_isolation import CrashIsolation
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Job
from handlers.shared.wire import WorkerOptions

def height(job):
    return len(photo.decode(job.body, photo.read_header(job.body)))

isolation, limit_s = CrashIsolation.at(Path(sys.argv[1])), float(sys.argv[2])
limits = TimeLimits(limit_s, spare_cpu_s=2.0)
isolation.catch_crashes()
print("ready", flush=True)
for line in sys.stdin:
    jobs = {
        place: Job(bytes.fromhex(body), WorkerOptions(**options))
        for place, (body, options) in enumerate(json.loads(line))
    }
    told = {}
    with isolation.batch(jobs, limits) as batch:
        for images in chain([batch.together], batch.later):
            for place, job in images.items():
                is_job = isinstance(job, Job)
                told[place] = isolation.run((place,), height, job) if is_job else job.code
    print(json.dumps([told[place] for place in range(len(jobs))]), flush=True)
"""


class Worker:
    """A worker process as TorchServe has them: it takes batches until one is its end."""

    def __init__(self, code: Path, folder: Path, limit_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(limit_s)],
            cwd=code,
            env=os.environ | {"PYTHONPATH": str(code)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def send(self, *bodies: bytes, **options: object) -> None:
        assert self.process.stdin
        batch = [(body.hex(), options) for body in bodies]
        self.process.stdin.write(json.dumps(batch) + "\n")
        self.process.stdin.flush()

    def answers(self) -> list[Any] | None:
        """Heights or problems' codes; None where the process has ended instead."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line:
            found: list[Any] = json.loads(line)
            return found
        self.process.wait(WITHIN_S)
        return None

    def ask(self, *bodies: bytes, **options: object) -> list[Any] | None:
        self.send(*bodies, **options)
        return self.answers()


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_worker(tmp_path_factory.mktemp("code"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flights"


@pytest.fixture
def start(code: Path, folder: Path) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(limit_s: float = LIMIT_S) -> Worker:
        started.append(Worker(code, folder, limit_s))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        with worker.process:
            pass


Start = Callable[..., Worker]


def until_answered(start: Start, *bodies: bytes, **options: object) -> tuple[int, list[Any]]:
    """Ask one worker after the other; count those that died."""
    for deaths in count():
        if answers := start().ask(*bodies, **options):
            return deaths, answers
    raise AssertionError


@pytest.mark.parametrize(
    ("order", "deaths"), [("SEGFAULT", 1), ("ABORT", 1), ("SIGKILL", 1)], ids=str
)
def test_an_image_that_ends_its_worker_does_so_once_and_its_neighbours_are_answered(
    start: Start, order: str, deaths: int
) -> None:
    bomb = killer(GOOD, order)
    assert until_answered(start, GOOD, bomb, GOOD) == (deaths, [32, CRASHES, 32])
    worker = start()
    for _ in range(3):
        assert worker.ask(bomb, GOOD) == [CRASHES, 32]
    assert worker.ask(killer(GOOD, "", 1)) == [32]  # another image


def test_a_sibling_that_runs_learns_of_a_death_before_its_next_batch(start: Start) -> None:
    sibling, victim = start(), start()
    bomb = killer(GOOD, "SEGFAULT")
    assert sibling.ask(GOOD) == [32]
    assert victim.ask(bomb) is None
    assert sibling.ask(GOOD, bomb) == [32, CRASHES]


def test_eight_killers_at_a_time_end_few_workers_and_convict_no_neighbour(start: Start) -> None:
    bombs = [killer(GOOD, "SEGFAULT", number) for number in range(4)]
    bombs += [killer(GOOD, "ABORT", number) for number in range(4)]
    others = [killer(GOOD, "", number) for number in range(8)]
    batch = [each for pair in zip(others, bombs, strict=True) for each in pair]
    deaths, answers = until_answered(start, *batch, suspect=True)  # as the gateway sends it again
    assert answers == [32, CRASHES] * 8
    assert deaths == 0
    assert until_answered(start, *batch) == (0, [32, CRASHES] * 8)


def test_a_suspect_of_another_torchserve_is_tried_before_it_can_do_harm(start: Start) -> None:
    worker = start()
    bomb = killer(GOOD, "SEGFAULT")
    assert worker.ask(bomb, GOOD, suspect=True) == [CRASHES, 32]
    assert worker.ask(bomb, GOOD) == [CRASHES, 32]


@pytest.mark.parametrize(
    ("order", "limit_s", "kind", "times"),
    [("HOLD", 4.0, "stalled", 2), ("SPIN", 60.0, "out_of_time", 1)],
    ids=["of-the-clock", "of-a-processor"],
)
def test_running_out_of_time_is_no_crash_and_is_told_as_what_it_is(
    start: Start, folder: Path, order: str, limit_s: float, kind: str, times: int
) -> None:
    slow = killer(GOOD, order)
    assert start(limit_s).ask(GOOD, slow) is None  # it ends itself, whoever holds the lock
    assert start(limit_s).ask(GOOD, slow) == [32, TOO_LONG]
    (path,) = (folder / "suspects").iterdir()
    assert json.loads(path.read_text())[kind] == times


def kill_while_at_work(worker: Worker, *bodies: bytes) -> None:
    """End a process from outside while it works on these images."""
    worker.send(*bodies)
    deadline = time.monotonic() + WITHIN_S
    while not at_work(worker):
        assert time.monotonic() < deadline
    worker.process.kill()
    assert worker.answers() is None


def at_work(worker: Worker) -> bool:
    (path,) = worker_folder(worker).glob(f"{worker.process.pid}-*.flight")
    return b"\x02" in path.read_bytes()[64:]


def worker_folder(worker: Worker) -> Path:
    arguments = worker.process.args
    assert isinstance(arguments, list)
    return Path(arguments[3])


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=lambda each: each.name)
def test_two_deaths_from_outside_convict_nobody(start: Start, signum: int) -> None:
    honest = killer(GOOD, "PAUSE")
    for _ in range(2):
        worker = start()
        worker.send(honest)
        deadline = time.monotonic() + WITHIN_S
        while not at_work(worker):
            assert time.monotonic() < deadline
        worker.process.send_signal(signum)
        assert worker.answers() is None
    assert until_answered(start, honest, GOOD) == (0, [32, 32])


def test_who_has_been_through_alone_is_no_suspect_any_more(start: Start, folder: Path) -> None:
    honest = killer(GOOD, "PAUSE")
    kill_while_at_work(start(), honest)
    assert start().ask(honest) == [32]
    assert list((folder / "suspects").iterdir()) == []


def test_what_is_only_in_hand_at_a_death_is_no_suspect(start: Start, folder: Path) -> None:
    bomb = killer(GOOD, "SEGFAULT")
    waiting = [killer(GOOD, "", number) for number in range(3)]
    assert start().ask(bomb, *waiting) is None
    start()  # looks at what its predecessor left
    assert len(list((folder / "suspects").iterdir())) == 1


def test_other_options_are_another_image(start: Start, folder: Path) -> None:
    bomb = killer(GOOD, "SEGFAULT")
    assert until_answered(start, bomb)[1] == [CRASHES]
    assert until_answered(start, bomb, request_id="another")[0] == 0
    assert start().ask(bomb, max_side=64) is None


# within one process


def active(number: int, *, alone: bool, allowed_s: float = 1.0) -> Active:
    return Active(Entry(bytes([number]) * 32, f"id-{number}", alone), allowed_s)


@pytest.fixture
def registry(folder: Path) -> Suspects:
    folder.mkdir()
    return Suspects(folder)


@pytest.mark.parametrize(
    ("ending", "deaths_alone", "code"),
    [
        ("crashed", 1, CRASHES),
        ("killed", 2, CRASHES),
        ("out_of_time", 1, TOO_LONG),
        ("stalled", 2, TOO_LONG),
    ],
)
def test_an_image_is_refused_for_deaths_with_nothing_beside_it(
    registry: Suspects, ending: Any, deaths_alone: int, code: str
) -> None:
    for _ in range(5):
        assert registry.note(active(1, alone=False), ending).verdict is None
    for place in range(deaths_alone):
        verdict = registry.note(active(1, alone=True), ending).verdict
        assert (verdict is None) == (place + 1 < deaths_alone)
    assert verdict
    assert verdict.code == code
    found = registry.find(bytes([1]) * 32)
    assert found
    assert found.verdict
    assert registry.find(bytes([2]) * 32) is None


def test_an_image_that_did_not_get_its_time_is_not_too_slow(registry: Suspects) -> None:
    cut_short = active(1, alone=True, allowed_s=0)
    assert registry.note(cut_short, "out_of_time").verdict is None


def test_the_detail_names_the_seconds_and_does_not_speak_of_a_crash(registry: Suspects) -> None:
    verdict = registry.note(active(1, alone=True, allowed_s=2.4), "out_of_time").verdict
    assert "2.4 CPU seconds" in str(verdict)
    assert "max_side" in str(verdict)
    assert "crash" not in str(verdict)


def test_suspects_are_bounded_in_number_and_forgotten_in_time(
    registry: Suspects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects_module, "MOST_SUSPECTS", 3)
    for number in range(5):
        registry.note(active(number, alone=True), "crashed")
    assert registry.known() == {(bytes([number]) * 32).hex() for number in (2, 3, 4)}
    monkeypatch.setattr(suspects_module, "EXPIRES_S", 0)
    assert registry.find(bytes([4]) * 32) is None


def test_a_living_process_is_not_taken_for_a_dead_one(folder: Path) -> None:
    folder.mkdir()
    recorder = FlightRecorder(folder)
    assert list(take_ended(folder)) == []
    recorder.close()
    assert list(folder.iterdir()) == []


def test_each_answered_batch_is_a_sign_of_life(folder: Path) -> None:
    before = time.monotonic()
    isolation = CrashIsolation.at(folder)
    loaded_s, answered_s = last_signs_s(folder)
    assert before <= loaded_s <= time.monotonic()
    assert answered_s == 0
    with isolation.batch({}, LIMITS):
        pass
    assert last_signs_s(folder)[1] >= loaded_s
    isolation.close()
    assert last_signs_s(folder / "nothing") == (0, 0)


def test_without_room_for_a_record_everything_is_worked_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    isolation = CrashIsolation.at(folder)
    assert not isinstance(isolation, RecordingGuard)
    assert list(folder.iterdir()) == []
    jobs = {0: Job(GOOD), 1: Job(GOOD, WorkerOptions(suspect=True))}
    with isolation.batch(jobs, LIMITS) as batch:
        assert batch.together == jobs
        assert list(batch.later) == []


def test_a_folder_that_is_cleared_away_stops_nobody(folder: Path) -> None:
    isolation = CrashIsolation.at(folder)
    for path in (folder / "suspects", folder):
        for file in path.iterdir():
            file.unlink() if file.is_file() else file.rmdir()
        path.rmdir() if path.exists() else None
    with isolation.batch({0: Job(GOOD), 1: Job(GOOD, WorkerOptions(suspect=True))}, LIMITS) as batch:
        assert [list(batch.together), *map(list, batch.later)] == [[0], [1]]
    isolation.close()


def test_an_image_whose_trials_are_killed_is_refused_though_nothing_can_be_noted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "decode_apart", lambda images, _: ["killed"] * len(images))
    isolation = CrashIsolation.at(folder)
    (folder / "suspects").rmdir()
    with isolation.batch({0: Job(GOOD, WorkerOptions(suspect=True))}, LIMITS) as batch:
        ((place, refused),) = next(batch.later).items()
    isolation.close()
    assert place == 0
    assert isinstance(refused, ProblemError)
    assert refused.code == CRASHES


def test_a_batch_ends_itself_before_torchserve_ends_the_worker() -> None:
    assert 0 < TimeLimits.of(10, 1).clock_s < 10


def test_a_batch_may_take_three_times_what_is_predicted_of_its_images_on_every_thread() -> None:
    jobs = [Job(GOOD, WorkerOptions(cost_s=seconds)) for seconds in (0.5, 1.5)]
    assert TimeLimits(10, threads=1, spare_cpu_s=4).cpu_s(jobs) == 4 + 3 * 2
    assert TimeLimits(10, threads=8, spare_cpu_s=4).cpu_s(jobs) == 8 * (4 + 3 * 2)
