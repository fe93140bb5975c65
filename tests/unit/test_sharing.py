"""Images that take long, or may end their worker, do not share a batch with others."""

import pytest

from handlers.errors import WorkerFailedError
from handlers.job import PUT_OFF_MEDIA_TYPE, Job, Options
from handlers.sharing import share
from tests.worker import FakeNetwork, labels_or_codes, pipeline, plain

LONG_S = 1.0
SHORT = Job(b"", Options(cost_s=0.5))
LONG = Job(b"", Options(cost_s=1.5))
SUSPECT = Job(b"", Options(suspect=True))
LONG_AGAIN = Job(b"", Options(cost_s=1.5, was_put_off=True))
SUSPECT_AGAIN = Job(b"", Options(suspect=True, was_put_off=True))
BROKEN = WorkerFailedError("no options")


@pytest.mark.parametrize(
    ("batch", "put_off"),
    [
        pytest.param([SHORT, SHORT, BROKEN], [], id="short-ones"),
        pytest.param([LONG, LONG], [], id="long-ones"),
        pytest.param([LONG], [], id="alone"),
        pytest.param([SUSPECT, LONG_AGAIN], [], id="all-that-are-kept-apart"),
        pytest.param([SHORT, LONG, SHORT], [1], id="a-long-one-lets-others-pass"),
        pytest.param([SHORT, SUSPECT, BROKEN], [1], id="a-suspect-lets-others-pass"),
        pytest.param([SHORT, LONG_AGAIN, SHORT], [0, 2], id="and-is-let-pass-itself"),
        pytest.param([SUSPECT_AGAIN, SHORT], [1], id="a-suspect-is-let-pass-itself"),
        pytest.param([LONG, SHORT, LONG_AGAIN], [1], id="long-ones-go-together"),
    ],
)
def test_what_is_kept_apart_waits_once_and_then_has_the_batch_to_itself(
    batch: list[Job], put_off: list[int]
) -> None:
    images = dict(enumerate(batch))
    now, answers = share(images, LONG_S)
    assert sorted(answers) == put_off
    assert now == {place: job for place, job in images.items() if place not in put_off}
    assert {answer.media_type for answer in answers.values()} <= {PUT_OFF_MEDIA_TYPE}


def test_nothing_is_put_off_for_ever() -> None:
    """Whatever a batch holds, some of it is worked on; what was put off is not put off again for
    what has come later.
    """
    for batch in ([SHORT, LONG], [SHORT, LONG_AGAIN], [SUSPECT, SHORT], [LONG, SUSPECT]):
        now, _ = share(dict(enumerate(batch)), LONG_S)
        assert now
        assert all(place in now for place, job in enumerate(batch) if job is LONG_AGAIN)


def test_a_pipeline_works_on_the_rest_and_counts_only_that() -> None:
    net = FakeNetwork()
    made = pipeline(net, long_s=LONG_S)
    photos = [Job(plain((32, 32), label), Options(cost_s=cost)) for label, cost in ((1, 0), (2, 2))]
    short, long = made.run(photos)
    assert labels_or_codes([short]) == [1]
    assert (long.media_type, long.body) == (PUT_OFF_MEDIA_TYPE, b"")
    assert (short.report.batch_images, long.report.batch_images) == (1, None)
    again = Job(photos[1].body, Options(cost_s=2, was_put_off=True))
    short, long = made.run([photos[0], again])
    assert short.media_type == PUT_OFF_MEDIA_TYPE
    assert labels_or_codes([long]) == [2]
    assert sum(net.passes) == 2
