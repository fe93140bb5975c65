"""`fcnserve segment --jsonl`: an outcome in, a line of JSON out; `docs/cli.md` lists its members.

Called by `service.cli.segment_run`.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fcnserve_client.errors import FcnserveError
from service.client.errors import describe, is_about_all
from service.client.segment import PhotoOutcome
from service.client.write import open_descriptor, write_all


@contextmanager
def results_file(name: str | None, *, append: bool) -> Iterator[Callable[[PhotoOutcome], None]]:
    """Open the file of the results, or standard output for `-`; give what writes an outcome.

    Each line is written at once, by one call: what a run that is killed has done is there.
    """
    if name is None:
        yield lambda _outcome: None
        return
    descriptor = 1 if name == "-" else open_descriptor(Path(name))
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    opened = os.open(name, flags, 0o666) if descriptor is None else os.dup(descriptor)
    try:
        yield lambda outcome: write_all(opened, result_line(outcome))
    finally:
        os.close(opened)


def result_line(outcome: PhotoOutcome) -> bytes:
    """Describe a photo in a line of ASCII."""
    error = outcome.error
    problem = error if isinstance(error, FcnserveError) else None
    line = {
        "path": outcome.job.source,
        "target": outcome.job.target,
        "status": outcome.status,
        "code": problem and problem.code,
        "detail": problem.detail if problem else error and describe(error),
        "seconds": round(outcome.seconds, 4),
        "request_id": problem.request_id if problem else outcome.request_id,
        "model": outcome.model,
        "shares": outcome.shares,
    }
    return json.dumps(line).encode() + b"\n"


def failure_line(outcome: PhotoOutcome, error: Exception) -> str:
    """Describe a failure in one line.

    An error that every photo would meet is described without the photo's name.
    """
    if is_about_all(error):
        return describe(error)
    named = error.filename if isinstance(error, OSError) and error.strerror else None
    return f"{named or outcome.job}: {describe(error)}"
