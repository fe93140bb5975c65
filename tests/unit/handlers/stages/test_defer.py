"""Images that take long do not hold the other answers of their batch."""

import pytest

from handlers.job import Job
from handlers.shared.errors import WorkerFailedError
from handlers.shared.wire import DEFERRED_MEDIA_TYPE, WorkerOptions
from handlers.stages.defer import MOST_DEFERRALS, defer_long
from tests.support.worker import FakeNetwork, labels_or_codes, pipeline, plain

SHORT = Job(b"")
LONG = Job(b"", WorkerOptions(is_long=True))
OFTEN = Job(b"", WorkerOptions(is_long=True, deferrals=MOST_DEFERRALS))
BROKEN = WorkerFailedError("no options")


@pytest.mark.parametrize(
    ("batch", "deferred"),
    [
        pytest.param([SHORT, SHORT, BROKEN], [], id="short-ones"),
        pytest.param([LONG, LONG], [], id="long-ones"),
        pytest.param([LONG], [], id="a-single-one"),
        pytest.param([SHORT, LONG, SHORT], [1], id="a-long-one-beside-others"),
        pytest.param([LONG, BROKEN], [0], id="beside-a-problem"),
        pytest.param([SHORT, OFTEN, LONG], [2], id="a-few-times-at-most"),
    ],
)
def test_long_images_are_deferred_beside_others_a_few_times(
    batch: list[Job], deferred: list[int]
) -> None:
    images = dict(enumerate(batch))
    now, answers = defer_long(images)
    assert sorted(answers) == deferred
    assert now == {index: job for index, job in images.items() if index not in deferred}
    assert {answer.media_type for answer in answers.values()} <= {DEFERRED_MEDIA_TYPE}


def test_a_pipeline_runs_the_rest_and_counts_only_that() -> None:
    net = FakeNetwork()
    worker = pipeline(net)
    photos = [
        Job(plain((32, 32), label), WorkerOptions(is_long=is_long))
        for label, is_long in ((1, False), (2, True))
    ]
    short, long = worker.run(photos)
    assert labels_or_codes([short]) == [1]
    assert (long.media_type, long.body) == (DEFERRED_MEDIA_TYPE, b"")
    assert (short.report.batch_images, long.report.batch_images) == (1, None)
    assert net.passes == [1]
    often = Job(photos[1].body, WorkerOptions(is_long=True, deferrals=MOST_DEFERRALS))
    assert labels_or_codes(worker.run([photos[0], often])) == [1, 2]
