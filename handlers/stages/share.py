"""Which images of a TorchServe batch are worked on now, and which are put off.

All answers of a batch leave together, so a thumbnail beside a picture of a hundred megapixels would
wait for it. A gateway keeps the two apart (`service.backend.exclusive`), but several gateways, or
an image that is tried again, may bring them together: then the long ones are sent back undone with
the others' answers, and handed over again, a few times at most. Called by `handlers.pipeline`.
"""

from collections.abc import Mapping

from handlers.job import Answer, Job
from handlers.shared.errors import ProblemError
from handlers.shared.wire import DEFERRED_MEDIA_TYPE, Report

# times that an image is put off; then it is worked on with whatever is there
MOST_PUT_OFF = 4

Jobs = Mapping[int, Job | ProblemError]  # by their place in the batch


def share(images: Jobs) -> tuple[Jobs, dict[int, Answer]]:
    """Part a batch into what is worked on now and the answers of what is put off."""
    put_off = {place for place, job in images.items() if may_be_put_off(job)}
    if len(put_off) == len(images):
        put_off = set()
    now = {place: job for place, job in images.items() if place not in put_off}
    return now, {place: Answer(b"", DEFERRED_MEDIA_TYPE, Report({})) for place in put_off}


def may_be_put_off(job: Job | ProblemError) -> bool:
    """Tell whether others would wait for an image, and it has not waited too often itself."""
    if not isinstance(job, Job):
        return False
    return job.options.is_long and job.options.deferrals < MOST_PUT_OFF
