"""Defers images that take long where others of their TorchServe batch would wait for them.

All answers of a batch leave together, so a thumbnail beside a picture of a hundred megapixels would
wait for it. A gateway keeps the two apart (`service.backend.exclusive`), but several gateways, or
an image that is tried again, may bring them together: then the long ones are sent back undone with
the others' answers, and sent again, a few times at most. Called by `handlers.pipeline`.
"""

from handlers.job import Answer, Job, Jobs
from handlers.shared.errors import ProblemError
from handlers.shared.wire import DEFERRED_MEDIA_TYPE, Report

# after so many deferrals an image runs with whatever is in its batch
MOST_DEFERRALS = 4


def defer_long(images: Jobs) -> tuple[Jobs, dict[int, Answer]]:
    """Split a batch into the images that run now, and the answers of those that are deferred."""
    deferred = {index for index, job in images.items() if may_be_deferred(job)}
    if len(deferred) == len(images):
        deferred = set()
    now = {index: job for index, job in images.items() if index not in deferred}
    return now, {index: Answer(b"", DEFERRED_MEDIA_TYPE, Report({})) for index in deferred}


def may_be_deferred(job: Job | ProblemError) -> bool:
    """Check whether an image takes long, and has not been deferred too often."""
    if not isinstance(job, Job):
        return False
    return job.options.is_long and job.options.deferrals < MOST_DEFERRALS
