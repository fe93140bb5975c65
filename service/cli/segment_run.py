"""Runs `fcnserve segment`: a checked plan in, answers, results, messages and an exit status out.

Called by `service.cli.segment`, which is imported for every command: what takes long to import is
here.

    0           every photo has its answer
    1           none has, or not the only one
    10 + N      N photos have none, the others have; 110: 100 or more
    130         Ctrl-C
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from service.cli.segment_progress import progress
from service.cli.segment_results import error_line, failure_line, results_file
from service.client.dataset import Dataset
from service.client.dataset_plan import DatasetOptions
from service.client.done import DoneAnswers
from service.client.errors import FAILURES, is_about_all
from service.client.exchange import open_server
from service.client.files import Plan
from service.client.query import Query, Server, UnknownModelError
from service.client.segment import PhotoOutcome, Run, segment_all
from service.client.shares import shares_reader

INTERRUPTED = 130
"""The exit status that shells give to a command that Ctrl-C ended."""
FAILED, SOME_FAILED, MOST_COUNTED = 1, 10, 100


@dataclass
class Counts:
    """How many photos have their answers: new ones, and those of earlier runs."""

    photos: int
    done: int = 0
    skipped: int = 0
    failed: int = 0

    def count(self, outcome: PhotoOutcome) -> None:
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)

    @property
    def exit_status(self) -> int:
        missing = self.photos - self.done - self.skipped
        if missing == 0:
            return 0
        return FAILED if missing == self.photos else SOME_FAILED + min(missing, MOST_COUNTED)

    def describe(self) -> str:
        left = self.photos - self.done - self.skipped - self.failed
        parts = [f"{self.done + self.skipped} of {self.photos} photos segmented"]
        parts += [f"{self.skipped} of them before"] * bool(self.skipped)
        parts += [f"{self.failed} failed"] * bool(self.failed)
        parts += [f"{left} left; --resume goes on"] * bool(left)
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Options:
    """What is done beside writing answers."""

    parallel: int = 4
    resume: bool = False
    jsonl: str | None = None
    dataset: DatasetOptions | None = None


def run(plan: Plan, server: Server, query: Query, options: Options) -> int:
    """Segment all photos; prints each failure once, and of several photos the count."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    counts = Counts(len(plan.jobs))
    try:
        asyncio.run(_run(plan, server, query, options, console, counts))
    except KeyboardInterrupt:
        console.print("stopped")
        return INTERRUPTED
    except (*FAILURES, UnknownModelError) as error:
        console.print(error_line(error))
        return counts.exit_status or FAILED
    finally:
        if counts.photos > 1:
            console.print(counts.describe())
    return counts.exit_status


async def _run(
    plan: Plan, server: Server, query: Query, options: Options, console: Console, counts: Counts
) -> None:
    async with open_server(server, query) as opened:
        needs_model = options.resume or options.jsonl or options.dataset
        model = await opened.model() if needs_model else None
        done = None if plan.folder is None else _done_answers(plan.folder, query, options)
        dataset = None
        if options.dataset and model and plan.folder:
            dataset = Dataset(plan.folder, model, options.dataset)
        if done and options.resume:
            done.read()
        run = Run(
            opened.send,
            done,
            model.tag if model and options.resume else None,
            shares_reader(query.output, model) if model and options.jsonl else None,
            dataset,
        )
        with (
            results_file(options.jsonl, append=options.resume) as write_result,
            progress(console, counts.photos) as advance,
        ):
            report = _reporter(console, counts, write_result, advance)
            missing = set(plan.jobs) if dataset else set()

            def on_done(outcome: PhotoOutcome) -> None:
                report(outcome)
                if outcome.status != "failed":
                    missing.discard(outcome.job)

            await segment_all(plan, run, on_done, parallel=options.parallel)
        if dataset:
            await asyncio.to_thread(dataset.finish, plan.jobs, missing)


def _done_answers(folder: Path, query: Query, options: Options) -> DoneAnswers:
    of_dataset = options.dataset.of_answer() if options.dataset else {}
    return DoneAnswers(folder, query.of_answer() | of_dataset)


def _reporter(
    console: Console,
    counts: Counts,
    write_result: Callable[[PhotoOutcome], None],
    advance: Callable[[], object],
) -> Callable[[PhotoOutcome], None]:
    """Give what counts an outcome and reports it; what every photo would meet is printed once."""
    printed: set[str] = set()

    def report(outcome: PhotoOutcome) -> None:
        counts.count(outcome)
        write_result(outcome)
        advance()
        if outcome.error is None or (line := failure_line(outcome, outcome.error)) in printed:
            return
        if is_about_all(outcome.error):
            printed.add(line)
        console.print(line)

    return report
