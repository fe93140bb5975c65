"""Which images of a TorchServe batch are worked on now, and which are put off.

All answers of a batch leave together, so a thumbnail beside a picture of a hundred megapixels would
wait for it, and what shares a batch with an image that crashes its worker is lost with it.
TorchServe puts together whatever waits. So where both are there, some images are sent back undone,
which costs a millisecond, and the gateway hands them over again: at first those that are to be kept
apart, which thereby let the others pass; the second time the others. Called by `handlers.pipeline`.
"""

from collections.abc import Mapping

from handlers.errors import ProblemError
from handlers.job import PUT_OFF_MEDIA_TYPE, Answer, Job, Report

Jobs = Mapping[int, Job | ProblemError]  # by their place in the batch


def share(images: Jobs, long_s: float) -> tuple[Jobs, dict[int, Answer]]:
    """Part a batch into what is worked on now and the answers of what is put off."""
    apart = {place for place, job in images.items() if is_kept_apart(job, long_s)}
    others = images.keys() - apart
    put_off = others if any(was_put_off(images[place]) for place in apart) else apart
    if not apart or not others:
        put_off = set()
    now = {place: job for place, job in images.items() if place not in put_off}
    return now, {place: Answer(b"", PUT_OFF_MEDIA_TYPE, Report({})) for place in put_off}


def is_kept_apart(job: Job | ProblemError, long_s: float) -> bool:
    """Tell whether an image takes long, or may end its worker."""
    return isinstance(job, Job) and (job.options.suspect or job.options.cost_s > long_s)


def was_put_off(job: Job | ProblemError) -> bool:
    return isinstance(job, Job) and job.options.was_put_off
