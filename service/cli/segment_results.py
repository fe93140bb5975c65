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
from service.client.lines import LineFile
from service.client.segment import PhotoOutcome
from service.client.write import open_descriptor


@contextmanager
def results_file(name: str | None, *, append: bool) -> Iterator[Callable[[PhotoOutcome], None]]:
    """Open the file of the results, or standard output for `-`; give what writes an outcome.

    Each line is written at once: what a run that is killed has done is there.
    """
    if name is None:
        yield lambda _outcome: None
        return
    descriptor = 1 if name == "-" else open_descriptor(Path(name))
    if descriptor is None:
        lines = LineFile.open(name, append=append)
    else:
        lines = LineFile(os.dup(descriptor), "standard output" if name == "-" else name)
    try:
        yield lambda outcome: lines.add(result_line(outcome))
    finally:
        lines.close()


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
    return json.dumps(line).encode()


def failure_line(outcome: PhotoOutcome, error: Exception) -> str:
    """Describe a photo's failure in one line.

    An answer that every photo would get is described without the photo's name.
    """
    is_of_server = is_about_all(error) and not isinstance(error, OSError)
    return error_line(error, None if is_of_server else str(outcome.job))


def error_line(error: Exception, name: str | None = None) -> str:
    """Describe an error in one line, with the name of its file, or else this one."""
    named = error.filename if isinstance(error, OSError) and error.strerror else None
    text = ": ".join(filter(None, (named or name, describe(error))))
    return _printable(text)


def _printable(text: str) -> str:
    """Escape what would end the line, or control a terminal: names of files may have any of it."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
