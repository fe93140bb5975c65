"""A run of the comparison: groups of servers take turns under load, round after round.

Entries and photos in; for each entry its slices, and the differences between its answers under load
and its reference answers, out. Turns are short and close in time, since a machine's speed changes
within minutes. Servers that pad need gigabytes, so they run in groups of their own. Called by
`loadtest.peers.__main__`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtest.benchmark.data_set import read_labels
from loadtest.benchmark.strategies import PAD_TO_LARGEST
from loadtest.measure.service_load import start_client_process
from loadtest.measure.slices import Slice
from loadtest.peers.catalogue import Entry
from loadtest.peers.server import RunningServer, start_server
from loadtest.traffic.concurrent_clients import ClientResults

Progress = Callable[[str], None]
SINGLE = 1  # client
QUIET_SHARE = 0.05  # of the cores, that other programs may use during a slice
TRIES = 3  # of a slice, until it is quiet; the quietest counts
PADDED_AT_ONCE = 3  # servers; each may take four gigabytes
ROTATION = 3  # entries by which each round begins later


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions of a run, the same for every server; all are written into the result."""

    set_name: str
    images: int
    clients: int
    rounds: int
    seconds: float  # of a slice
    warm_up_s: float
    seed: int


@dataclass(slots=True)
class EntryResult:
    """The measurements of one entry; grows by a slice of each kind per round."""

    concurrent: list[Slice] = field(default_factory=list)
    single: list[Slice] = field(default_factory=list)
    changed_pixels: int = 0  # of all masks under load, against the same server's reference answers
    pixels: int = 0
    reference_answers: list[bytes] = field(default_factory=list)


def run(
    entries: Sequence[Entry],
    model: Path,
    photos: Sequence[bytes],
    terms: Terms,
    progress: Progress,
) -> Iterator[dict[str, EntryResult]]:
    """Run group after group; yields all results so far after each."""
    results: dict[str, EntryResult] = {}
    with start_client_process() as client_process:
        for group in group_entries(entries):
            results |= run_group(group, model, photos, terms, client_process, progress)
            yield results


def group_entries(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Return all entries that do not pad, ours among them, then a few at a time that do."""
    padded = [entry for entry in entries if entry.grouping == PAD_TO_LARGEST]
    others = [entry for entry in entries if entry.grouping != PAD_TO_LARGEST]
    chunks = [padded[at : at + PADDED_AT_ONCE] for at in range(0, len(padded), PADDED_AT_ONCE)]
    return [others, *chunks]


def run_group(
    group: Sequence[Entry],
    model: Path,
    photos: Sequence[bytes],
    terms: Terms,
    client_process: Executor,
    progress: Progress,
) -> dict[str, EntryResult]:
    """Start a group's servers, warm them up, and measure a slice of each in every round."""
    results: dict[str, EntryResult] = {}
    with ExitStack() as stack:
        servers = {}
        for entry in group:
            server = stack.enter_context(start_server(entry, model, photos[0]))
            results[entry.name] = warm_up(server, photos, terms, client_process)
            servers[entry.name] = server
            progress(f"{entry.name} is ready")
        for turn in range(terms.rounds):
            first = turn * ROTATION % len(group)
            for entry in [*group[first:], *group[:first]]:
                result = results[entry.name]
                measure_round(servers[entry.name], photos, terms, client_process, result)
                progress(f"round {turn + 1}: {entry.name}: {slice_text(result.concurrent[-1])}")
    return results


def slice_text(one: Slice) -> str:
    return f"{one.images_per_s:.1f} masks/s, other programs {100 * one.other_programs_share:.0f} %"


def warm_up(
    server: RunningServer, photos: Sequence[bytes], terms: Terms, client_process: Executor
) -> EntryResult:
    """Fetch the reference answer of each photo, then load the server with concurrent clients."""
    _, results = server.measure(photos, SINGLE, 0, client_process)
    server.measure(photos, terms.clients, terms.warm_up_s, client_process)
    return EntryResult(reference_answers=reference_answers(results, len(photos)))


def measure_round(
    server: RunningServer,
    photos: Sequence[bytes],
    terms: Terms,
    client_process: Executor,
    result: EntryResult,
) -> None:
    """Measure a slice with concurrent clients, and one with a single client."""
    concurrent, answers = quietest(
        lambda: server.measure(photos, terms.clients, terms.seconds, client_process)
    )
    differing, changed, pixels = compare(answers.answers, result.reference_answers)
    result.concurrent.append(replace(concurrent, differing=differing))
    result.changed_pixels += changed
    result.pixels += pixels
    single, _ = quietest(lambda: server.measure(photos, SINGLE, 0, client_process))
    result.single.append(single)


def quietest(
    measure: Callable[[], tuple[Slice, ClientResults]],
) -> tuple[Slice, ClientResults]:
    """Measure again where other programs were busy; returns the quietest measurement."""
    measured = []
    for _ in range(TRIES):
        measured.append(measure())
        if measured[-1][0].other_programs_share <= QUIET_SHARE:
            break
    return min(measured, key=lambda one: one[0].other_programs_share)


def reference_answers(results: ClientResults, photos: int) -> list[bytes]:
    """Return the one answer to each photo; raises ValueError where there is none."""
    if results.failed or len(results.answers) != photos:
        raise ValueError(f"{results.failed} of {photos} single photos got no mask")
    return [next(iter(results.answers[index])) for index in range(photos)]


def compare(
    answers: Mapping[int, Counter[bytes]], reference: Sequence[bytes]
) -> tuple[int, int, int]:
    """Count masks whose bytes differ from the reference answers, pixels whose label differs, and
    all pixels.
    """
    differing = changed = pixels = 0
    for index, bodies in answers.items():
        labels = read_labels(reference[index])
        pixels += labels.size * bodies.total()
        for body, times in bodies.items():
            if body != reference[index]:
                differing += times
                changed += times * int((read_labels(body) != labels).sum())
    return differing, changed, pixels
