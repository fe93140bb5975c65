"""One answer per image, in order, with its mask, the card, and what was measured on the way."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.isolation.crash_isolation import CrashIsolation, IsolatedBatch
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Job, Jobs
from handlers.pipeline import Pipeline
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.warm_up import idle
from handlers.runtime.warm_up.run import WarmUp
from handlers.shared.wire import GroupFigures, WorkerOptions
from tests.support.photos import jpeg, save
from tests.support.reference import reference_labels
from tests.support.worker import (
    WEIGHTS,
    FakeNetwork,
    jobs_of,
    labels_of,
    labels_or_codes,
    network,
    noise,
    pipeline,
    plain,
    sample,
)

VERBS = {"plan", "decode", "forward", "encode", "hold"}
SMALL = (30, 20)


@pytest.fixture(scope="module")
def real() -> Pipeline:
    return pipeline(network("fp32"))


@pytest.mark.parametrize("name", ["cat", "astronaut"])
def test_a_mask_is_the_references(real: Pipeline, name: str) -> None:
    photo = sample(name)
    (answer,) = real.run(jobs_of(save(photo, "PNG")))
    assert (labels_of(answer) == reference_labels(photo, WEIGHTS)).mean() >= 0.999


def test_answers_come_in_order_and_have_their_photos_sizes(real: Pipeline) -> None:
    sizes = [(40, 50), (1, 1), (70, 33), (41, 60), (1, 300)]
    answers = real.run(jobs_of(*(save(noise(size), "PNG") for size in sizes)))
    assert [labels_of(answer).shape for answer in answers] == sizes


def test_groups_do_not_mix_up_their_photos() -> None:
    sizes = [SMALL, (50, 50), SMALL, (50, 50), SMALL]
    net = FakeNetwork()
    answers = pipeline(net).run(jobs_of(*(plain(size, n) for n, size in enumerate(sizes))))
    assert labels_or_codes(answers) == [0, 1, 2, 3, 4]
    assert net.passes == [5]


class LaterWarmUp(WarmUp):
    """Has one pass left, after which no photos share any."""

    has_more = True

    def __init__(self) -> None:
        """Take no network."""

    @property
    def costs(self) -> PassCosts:
        return PassCosts(1.0, 0.0)

    def measure_another(self, seconds: float) -> None:
        assert seconds > 0
        self.has_more = False


def test_what_is_measured_between_batches_plans_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.0)
    net, warm_up = FakeNetwork(), LaterWarmUp()
    worker, batch = pipeline(net), jobs_of(*[plain(SMALL, 1)] * 5)
    worker.run(batch)
    worker.go_on_when_idle(warm_up)
    for thread in threading.enumerate():
        if thread.name == "idle warm-up":
            thread.join()
    worker.run(batch)
    assert net.passes == [5, 1, 1, 1, 1, 1]


def test_one_image_gives_the_same_bytes_again_in_a_batch_and_from_another_pipeline(
    real: Pipeline,
) -> None:
    photo = save(noise((90, 70)), "PNG")
    batch = jobs_of(save(noise((80, 72), 1), "PNG"), photo, save(noise((96, 96), 2), "PNG"))
    single = real.run(jobs_of(photo))[0].body
    assert real.run(jobs_of(photo))[0].body == single
    assert real.run(batch)[1].body == single
    assert pipeline(network("fp32")).run(jobs_of(photo))[0].body == single


def test_an_empty_batch_has_no_answers(real: Pipeline) -> None:
    assert real.run([]) == []


def test_the_card_is_answered_in_a_batch_with_photos_and_needs_no_image(real: Pipeline) -> None:
    describe = Job(b"", WorkerOptions(output="describe"))
    card, mask, last = real.run([describe, Job(plain(SMALL, 0)), describe])
    assert card.media_type == last.media_type == "application/json"
    assert json.loads(card.body) == json.loads(last.body) == real.card.model_dump(mode="json")
    assert mask.media_type == "image/png"
    assert [answer.report.batch_images for answer in (card, mask, last)] == [None, 1, None]


@pytest.mark.parametrize(
    ("size", "longest"),
    [pytest.param((600, 400), 160, id="tall"), pytest.param((400, 600), 160, id="wide")],
)
def test_max_side_reduces_what_the_network_sees_and_not_the_mask(
    size: tuple[int, int], longest: int
) -> None:
    seen: list[tuple[int, ...]] = []
    net = FakeNetwork(lambda photos: seen.extend(photo.shape for photo in photos))
    job = Job(plain(size, 5), WorkerOptions(max_side=longest))
    (asked,) = pipeline(net).run([job])
    (default,) = pipeline(net, working_max_side=longest).run(jobs_of(plain(size, 5)))
    assert seen == 2 * [(round(size[0] * longest / 600), round(size[1] * longest / 600), 3)]
    for answer in (asked, default):
        np.testing.assert_array_equal(labels_of(answer), np.full(size, 5))


def test_orientation_turns_the_mask_with_the_photo() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    body = jpeg(np.full((20, 30, 3), 3, np.uint8), exif=exif)
    turned, stored = pipeline(FakeNetwork()).run(
        [
            Job(body),
            Job(body, WorkerOptions(orientation="stored")),
        ]
    )
    assert labels_of(turned).shape == (30, 20)
    assert labels_of(stored).shape == (20, 30)


def test_every_mask_reports_how_long_each_verb_took(real: Pipeline) -> None:
    bodies = [plain(SMALL, 0), b"no image", plain((50, 90), 0)]
    answers = real.run(jobs_of(*bodies))
    for answer in (answers[0], answers[2]):
        assert set(answer.report.stages_ms) == VERBS
        assert all(ms >= 0 for ms in answer.report.stages_ms.values())
    assert [answer.report.batch_images for answer in answers] == [3, None, None]


def test_a_groups_figures_ride_on_its_first_member() -> None:
    sizes = [(30, 20), (50, 50), (10, 32), (64, 40)]
    answers = pipeline(FakeNetwork()).run(jobs_of(*(plain(size, 1) for size in sizes)))
    assert [answer.report.group for answer in answers] == [
        GroupFigures(
            images=4,
            valid_pixels=30 * 20 + 50 * 50 + 10 * 32 + 64 * 40,
            padded_pixels=4 * 64 * 64,
        ),
        None,
        None,
        None,
    ]


def test_figures_count_only_photos_that_went_through_the_network() -> None:
    truncated = plain(SMALL, 1)[:-40]
    answers = pipeline(FakeNetwork()).run(jobs_of(truncated, plain(SMALL, 2), truncated))
    assert labels_or_codes(answers) == ["broken_image", 2, "broken_image"]
    assert [answer.report.group for answer in answers] == [None, GroupFigures(1, 600, 1024), None]
    (single,) = pipeline(FakeNetwork()).run(jobs_of(truncated))
    assert single.report.group is None


def test_an_image_without_an_outcome_gets_a_problem_and_not_the_card(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Defective(CrashIsolation):
        """Loses the second image of a batch."""

        @contextmanager
        def batch(self, images: Jobs, limits: TimeLimits) -> Iterator[IsolatedBatch]:
            kept = {index: job for index, job in images.items() if index != 1}
            yield IsolatedBatch(kept, iter(()))

    describe = Job(b"", WorkerOptions(output="describe"))
    jobs = [Job(plain(SMALL, 1)), Job(plain(SMALL, 2)), describe, Job(plain(SMALL, 3))]
    answers = pipeline(FakeNetwork()).run(jobs, Defective())
    assert labels_or_codes([answers[0], answers[1], answers[3]]) == [1, "worker_failed", 3]
    assert answers[2].media_type == "application/json"
    assert "1 of 4 images of a batch have no outcome" in caplog.text


def test_suspects_get_the_same_bytes_after_the_others(tmp_path: Path) -> None:
    net = FakeNetwork()
    worker = pipeline(net)
    isolation = CrashIsolation.at(tmp_path)
    suspect = Job(plain(SMALL, 2), WorkerOptions(suspect=True))
    together = worker.run(jobs_of(plain(SMALL, 1), plain(SMALL, 2), plain(SMALL, 3)))
    net.passes.clear()
    answers = worker.run([Job(plain(SMALL, 1)), suspect, Job(plain(SMALL, 3))], isolation)
    isolation.close()
    assert [answer.body for answer in answers] == [answer.body for answer in together]
    assert net.passes == [2, 1]
    assert [answer.report.batch_images for answer in answers] == [3, None, None]
