"""The progress of `fcnserve segment`: a bar on a terminal, and elsewhere a line now and then.

In: each photo that is done. Out: text on standard error. Called by `service.cli.segment_run`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0
MINUTE_S = 60


@contextmanager
def progress(
    console: Console, photos: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], object]]:
    """Give what is called for each photo; a single photo has no progress."""
    if photos < 2:  # noqa: PLR2004 - one
        yield lambda: None
    elif console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task("segmenting", total=photos)
            yield lambda: bar.advance(task)
    else:
        yield _Lines(console, photos, clock).advance


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), TextColumn("left"), console=console)


class _Lines:
    """Prints how far the run is, at most every LINE_EVERY_S."""

    def __init__(self, console: Console, photos: int, clock: Callable[[], float]) -> None:
        self._console, self._photos, self._clock = console, photos, clock
        self._done = 0
        self._started = self._printed = clock()

    def advance(self) -> None:
        self._done += 1
        now = self._clock()
        if now - self._printed < LINE_EVERY_S or self._done == self._photos:
            return
        self._printed = now
        rate = self._done / (now - self._started)
        left_s = (self._photos - self._done) / rate
        self._console.print(
            f"{self._done} of {self._photos} photos, {rate:.1f} a second, {_time(left_s)} left"
        )


def _time(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = round(seconds / MINUTE_S)
    return f"{minutes} min" if minutes < MINUTE_S else f"{minutes / MINUTE_S:.1f} h"
