"""Images that end their worker process are found and refused; the rest of a batch is answered."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from handlers.isolation import quarantine as quarantine_module
from handlers.isolation import suspects as suspects_module
from handlers.isolation.crash_isolation import CrashIsolation, RecordedIsolation
from handlers.isolation.suspects import SuspectRegistry
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Job
from handlers.shared.errors import ProblemError
from handlers.shared.flight_recorder import FlightRecorder
from handlers.shared.flight_records import ActiveImage, ImageEntry, last_signs_s, take_ended
from handlers.shared.wire import WorkerOptions
from tests.support.crashing_images import copy_of_worker, crashing_image
from tests.support.photos import jpeg, photo
from tests.support.polling import wait_until

GOOD = jpeg(photo(32, 48))
CRASHES, TOO_LONG = "image_crashes_worker", "image_takes_too_long"
LIMIT_S = 300.0  # no test waits for it; isolated decoding has its share, however busy the machine
LIMITS = TimeLimits(LIMIT_S)
WITHIN_S = 60.0

# decodes each batch that comes as a line, as the pipeline does: together, then one by one
WORKER = """
import json, sys
from itertools import chain
from pathlib import Path
from handlers.isolation.crash_isolation import CrashIsolation
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Job
from handlers.shared import photo
from handlers.shared.wire import WorkerOptions

def height(job):
    return len(photo.decode(job.body, photo.read_header(job.body)))

isolation, limit_s = CrashIsolation.at(Path(sys.argv[1])), float(sys.argv[2])
limits = TimeLimits(limit_s, spare_cpu_s=2.0)
isolation.catch_crashes()
print("ready", flush=True)
for line in sys.stdin:
    jobs = {
        index: Job(bytes.fromhex(body), WorkerOptions(**options))
        for index, (body, options) in enumerate(json.loads(line))
    }
    answers = {}
    with isolation.batch(jobs, limits) as batch:
        for images in chain([batch.together], batch.later):
            for index, job in images.items():
                is_job = isinstance(job, Job)
                answers[index] = isolation.run((index,), height, job) if is_job else job.code
    print(json.dumps([answers[index] for index in range(len(jobs))]), flush=True)
"""


class Worker:
    """A worker process like TorchServe's: it takes batches until one ends it."""

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
            answers: list[Any] = json.loads(line)
            return answers
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
    """Ask one worker after the other; count those that ended."""
    for deaths in count():
        if answers := start().ask(*bodies, **options):
            return deaths, answers
    raise AssertionError


@pytest.mark.parametrize(
    ("order", "deaths"), [("SEGFAULT", 1), ("ABORT", 1), ("SIGKILL", 1)], ids=str
)
def test_an_image_that_ends_its_worker_does_so_once_and_its_batch_is_answered(
    start: Start, order: str, deaths: int
) -> None:
    crashing = crashing_image(GOOD, order)
    assert until_answered(start, GOOD, crashing, GOOD) == (deaths, [32, CRASHES, 32])
    worker = start()
    for _ in range(3):
        assert worker.ask(crashing, GOOD) == [CRASHES, 32]
    assert worker.ask(crashing_image(GOOD, "", 1)) == [32]  # another image


def test_a_running_worker_registers_another_ones_death_before_its_next_batch(start: Start) -> None:
    running, ending = start(), start()
    crashing = crashing_image(GOOD, "SEGFAULT")
    assert running.ask(GOOD) == [32]
    assert ending.ask(crashing) is None
    assert running.ask(GOOD, crashing) == [32, CRASHES]


def test_eight_crashing_images_at_a_time_end_few_workers_and_no_other_is_refused(
    start: Start,
) -> None:
    crashing_images = [crashing_image(GOOD, "SEGFAULT", number) for number in range(4)]
    crashing_images += [crashing_image(GOOD, "ABORT", number) for number in range(4)]
    others = [crashing_image(GOOD, "", number) for number in range(8)]
    batch = [each for pair in zip(others, crashing_images, strict=True) for each in pair]
    deaths, answers = until_answered(start, *batch, suspect=True)  # as the gateway sends it again
    assert answers == [32, CRASHES] * 8
    assert deaths == 0
    assert until_answered(start, *batch) == (0, [32, CRASHES] * 8)


def test_a_suspect_of_another_torchserve_is_decoded_in_isolation_first(start: Start) -> None:
    worker = start()
    crashing = crashing_image(GOOD, "SEGFAULT")
    assert worker.ask(crashing, GOOD, suspect=True) == [CRASHES, 32]
    assert worker.ask(crashing, GOOD) == [CRASHES, 32]


@pytest.mark.parametrize(
    ("order", "limit_s", "kind", "times"),
    [("HOLD", 4.0, "stalled", 2), ("SPIN", 60.0, "out_of_time", 1)],
    ids=["of-the-clock", "of-a-processor"],
)
def test_running_out_of_time_is_reported_as_such_and_not_as_a_crash(
    start: Start, folder: Path, order: str, limit_s: float, kind: str, times: int
) -> None:
    slow = crashing_image(GOOD, order)
    deaths, answers = until_answered(partial(start, limit_s), GOOD, slow)
    assert answers == [32, TOO_LONG]
    assert deaths > 0  # a worker ends itself, whatever holds the lock; more on a busy machine
    (path,) = (folder / "suspects").iterdir()
    assert json.loads(path.read_text())[kind] == times


def kill_while_busy(worker: Worker, *bodies: bytes) -> None:
    """End a process from outside while it works on these images."""
    worker.send(*bodies)
    wait_until(partial(is_busy, worker), WITHIN_S)
    worker.process.kill()
    assert worker.answers() is None


def is_busy(worker: Worker) -> bool:
    (path,) = worker_folder(worker).glob(f"{worker.process.pid}-*.flight")
    return b"\x02" in path.read_bytes()[64:]


def worker_folder(worker: Worker) -> Path:
    arguments = worker.process.args
    assert isinstance(arguments, list)
    return Path(arguments[3])


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=lambda each: each.name)
def test_an_image_is_not_refused_for_two_deaths_from_outside(start: Start, signum: int) -> None:
    harmless = crashing_image(GOOD, "PAUSE")
    for _ in range(2):
        worker = start()
        worker.send(harmless)
        wait_until(partial(is_busy, worker), WITHIN_S)
        worker.process.send_signal(signum)
        assert worker.answers() is None
    assert until_answered(start, harmless, GOOD) == (0, [32, 32])


def test_an_image_that_has_run_in_isolation_is_no_suspect_any_more(
    start: Start, folder: Path
) -> None:
    harmless = crashing_image(GOOD, "PAUSE")
    kill_while_busy(start(), harmless)
    assert start().ask(harmless) == [32]
    assert list((folder / "suspects").iterdir()) == []


def test_an_image_that_was_not_in_work_at_a_death_is_no_suspect(start: Start, folder: Path) -> None:
    crashing = crashing_image(GOOD, "SEGFAULT")
    waiting = [crashing_image(GOOD, "", number) for number in range(3)]
    assert start().ask(crashing, *waiting) is None
    start()  # reads the record of the one before
    assert len(list((folder / "suspects").iterdir())) == 1


def test_other_options_are_another_image(start: Start, folder: Path) -> None:
    crashing = crashing_image(GOOD, "SEGFAULT")
    assert until_answered(start, crashing)[1] == [CRASHES]
    assert until_answered(start, crashing, request_id="another")[0] == 0
    assert start().ask(crashing, max_side=64) is None


# within one process


def active(number: int, *, isolated: bool, allowed_s: float = 1.0) -> ActiveImage:
    return ActiveImage(ImageEntry(bytes([number]) * 32, f"id-{number}", isolated), allowed_s)


@pytest.fixture
def registry(folder: Path) -> SuspectRegistry:
    folder.mkdir()
    return SuspectRegistry(folder)


@pytest.mark.parametrize(
    ("ending", "deaths_in_isolation", "code"),
    [
        ("crashed", 1, CRASHES),
        ("killed", 2, CRASHES),
        ("out_of_time", 1, TOO_LONG),
        ("stalled", 2, TOO_LONG),
    ],
)
def test_an_image_is_refused_for_deaths_of_processes_that_had_no_other_work(
    registry: SuspectRegistry, ending: Any, deaths_in_isolation: int, code: str
) -> None:
    for _ in range(5):
        assert registry.note(active(1, isolated=False), ending).refusal is None
    for death in range(1, deaths_in_isolation + 1):
        refusal = registry.note(active(1, isolated=True), ending).refusal
        assert (refusal is None) == (death < deaths_in_isolation)
    assert refusal
    assert refusal.code == code
    record = registry.find(bytes([1]) * 32)
    assert record
    assert record.refusal
    assert registry.find(bytes([2]) * 32) is None


def test_an_image_that_did_not_get_its_time_is_not_too_slow(registry: SuspectRegistry) -> None:
    cut_short = active(1, isolated=True, allowed_s=0)
    assert registry.note(cut_short, "out_of_time").refusal is None


def test_the_detail_of_a_slow_image_names_the_seconds_and_no_crash(
    registry: SuspectRegistry,
) -> None:
    refusal = registry.note(active(1, isolated=True, allowed_s=2.4), "out_of_time").refusal
    assert "2.4 CPU seconds" in str(refusal)
    assert "max_side" in str(refusal)
    assert "crash" not in str(refusal)


def test_suspects_are_bounded_in_number_and_forgotten_in_time(
    registry: SuspectRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects_module, "MOST_SUSPECTS", 3)
    for number in range(5):
        registry.note(active(number, isolated=True), "crashed")
    assert registry.digests() == {(bytes([number]) * 32).hex() for number in (2, 3, 4)}
    monkeypatch.setattr(suspects_module, "EXPIRES_S", 0)
    assert registry.find(bytes([4]) * 32) is None


def test_the_record_of_a_living_process_is_not_read(folder: Path) -> None:
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


def test_without_space_for_a_record_all_images_run_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    isolation = CrashIsolation.at(folder)
    assert not isinstance(isolation, RecordedIsolation)
    assert list(folder.iterdir()) == []
    jobs = {0: Job(GOOD), 1: Job(GOOD, WorkerOptions(suspect=True))}
    with isolation.batch(jobs, LIMITS) as batch:
        assert batch.together == jobs
        assert list(batch.later) == []


def test_a_folder_that_is_removed_stops_no_image(folder: Path) -> None:
    isolation = CrashIsolation.at(folder)
    for path in (folder / "suspects", folder):
        for file in path.iterdir():
            file.unlink() if file.is_file() else file.rmdir()
        path.rmdir() if path.exists() else None
    with isolation.batch(
        {0: Job(GOOD), 1: Job(GOOD, WorkerOptions(suspect=True))}, LIMITS
    ) as batch:
        assert [list(batch.together), *map(list, batch.later)] == [[0], [1]]
    isolation.close()


def test_an_image_that_kills_its_isolated_decoding_is_refused_on_a_full_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        quarantine_module, "decode_isolated", lambda tasks, _: ["killed"] * len(tasks)
    )
    isolation = CrashIsolation.at(folder)
    (folder / "suspects").rmdir()
    with isolation.batch({0: Job(GOOD, WorkerOptions(suspect=True))}, LIMITS) as batch:
        ((index, refused),) = next(batch.later).items()
    isolation.close()
    assert index == 0
    assert isinstance(refused, ProblemError)
    assert refused.code == CRASHES


def test_a_batch_ends_itself_before_torchserve_ends_the_worker() -> None:
    assert 0 < TimeLimits.of(10, 1).clock_s < 10


def test_a_batch_may_take_three_times_its_predicted_seconds_on_every_thread() -> None:
    jobs = [Job(GOOD, WorkerOptions(cost_s=seconds)) for seconds in (0.5, 1.5)]
    assert TimeLimits(10, threads=1, spare_cpu_s=4).cpu_s(jobs) == 4 + 3 * 2
    assert TimeLimits(10, threads=8, spare_cpu_s=4).cpu_s(jobs) == 8 * (4 + 3 * 2)
