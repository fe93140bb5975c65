"""Images that take long do not hold the answers of others in their batch."""

import pytest

from handlers.job import Job
from handlers.shared.errors import WorkerFailedError
from handlers.shared.wire import DEFERRED_MEDIA_TYPE, WorkerOptions
from handlers.stages.defer import MOST_PUT_OFF, share
from tests.support.worker import FakeNetwork, labels_or_codes, pipeline, plain

SHORT = Job(b"")
LONG = Job(b"", WorkerOptions(is_long=True))
OFTEN = Job(b"", WorkerOptions(is_long=True, deferrals=MOST_PUT_OFF))
BROKEN = WorkerFailedError("no options")


@pytest.mark.parametrize(
    ("batch", "put_off"),
    [
        pytest.param([SHORT, SHORT, BROKEN], [], id="short-ones"),
        pytest.param([LONG, LONG], [], id="long-ones"),
        pytest.param([LONG], [], id="alone"),
        pytest.param([SHORT, LONG, SHORT], [1], id="a-long-one-lets-others-pass"),
        pytest.param([LONG, BROKEN], [0], id="whatever-they-are"),
        pytest.param([SHORT, OFTEN, LONG], [2], id="a-few-times-at-most"),
    ],
)
def test_long_images_let_others_pass_a_few_times(batch: list[Job], put_off: list[int]) -> None:
    images = dict(enumerate(batch))
    now, answers = share(images)
    assert sorted(answers) == put_off
    assert now == {place: job for place, job in images.items() if place not in put_off}
    assert {answer.media_type for answer in answers.values()} <= {DEFERRED_MEDIA_TYPE}


def test_a_pipeline_works_on_the_rest_and_counts_only_that() -> None:
    net = FakeNetwork()
    made = pipeline(net)
    photos = [
        Job(plain((32, 32), label), WorkerOptions(is_long=is_long))
        for label, is_long in ((1, False), (2, True))
    ]
    short, long = made.run(photos)
    assert labels_or_codes([short]) == [1]
    assert (long.media_type, long.body) == (DEFERRED_MEDIA_TYPE, b"")
    assert (short.report.batch_images, long.report.batch_images) == (1, None)
    assert net.passes == [1]
    often = Job(photos[1].body, WorkerOptions(is_long=True, deferrals=MOST_PUT_OFF))
    assert labels_or_codes(made.run([photos[0], often])) == [1, 2]
