"""One run: every server in turn, round after round, with both cores to itself while it runs.

In: entries and photos. Out: for each entry its slices, and how its answers compare: in a crowd with
those of the same server alone, and alone with ours.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtest.client import Burst
from loadtest.course import labels
from loadtest.peers.catalogue import Entry
from loadtest.peers.hosted import Hosted, hosted
from loadtest.rows import Slice
from loadtest.served import client_process

Tell = Callable[[str], None]
ALONE = 1  # client
QUIET = 0.05  # share of the processors that others may take during a slice
TRIES = 3  # to find such a slice; the quietest counts
OFFSET = 5  # entries by which each round begins later


@dataclass(frozen=True, slots=True)
class Terms:
    """What every server gets; all of it goes into the result."""

    set_name: str
    images: int
    clients: int
    rounds: int
    seconds: float  # of a slice
    warm_up_s: float
    seed: int


@dataclass(slots=True)
class Found:
    """What was found of one entry; grows by a slice of each kind a round."""

    crowd: list[Slice] = field(default_factory=list)
    lone: list[Slice] = field(default_factory=list)
    changed_pixels: int = 0  # of all masks in a crowd, against the same server's lone ones
    pixels: int = 0
    lone_answers: list[bytes] = field(default_factory=list)


def contest(
    entries: Sequence[Entry], model: Path, photos: Sequence[bytes], terms: Terms, tell: Tell
) -> dict[str, Found]:
    """Give every entry its slices in every round."""
    found = {entry.name: Found() for entry in entries}
    with client_process() as executor:
        for turn in range(terms.rounds):
            first = turn * OFFSET % len(entries)
            for entry in [*entries[first:], *entries[:first]]:
                with hosted(entry, model, photos[0]) as server:
                    visit(server, photos, terms, executor, found[entry.name])
                latest = found[entry.name].crowd[-1]
                tell(f"round {turn + 1}: {entry.name}: {told_of(latest)}")
    return found


def told_of(one: Slice) -> str:
    return f"{one.images_per_s:.1f} masks/s, others took {100 * one.foreign_share:.0f} %"


def visit(
    server: Hosted, photos: Sequence[bytes], terms: Terms, executor: Executor, found: Found
) -> None:
    """Ask for each photo alone, warm up in a crowd, then measure both."""
    _, seen = server.burst(photos, ALONE, 0, executor)
    found.lone_answers = found.lone_answers or lone_answers(seen, len(photos))
    server.burst(photos, terms.clients, terms.warm_up_s, executor)
    crowd, seen = quietest(lambda: server.burst(photos, terms.clients, terms.seconds, executor))
    differing, changed, pixels = compare(seen.answers, found.lone_answers)
    found.crowd.append(replace(crowd, differing=differing))
    found.changed_pixels += changed
    found.pixels += pixels
    found.lone.append(quietest(lambda: server.burst(photos, ALONE, 0, executor))[0])


def quietest(measured: Callable[[], tuple[Slice, Burst]]) -> tuple[Slice, Burst]:
    """Measure again where others on this machine were busy meanwhile, whoever's turn it is."""
    slices = []
    for _ in range(TRIES):
        slices.append(measured())
        if slices[-1][0].foreign_share <= QUIET:
            break
    return min(slices, key=lambda one: one[0].foreign_share)


def lone_answers(seen: Burst, photos: int) -> list[bytes]:
    """Take the one answer that each photo got; raises ValueError where there is none."""
    if seen.failed or len(seen.answers) != photos:
        raise ValueError(f"{seen.failed} of {photos} lone photos got no mask")
    return [next(iter(seen.answers[place])) for place in range(photos)]


def compare(answers: Mapping[int, Counter[bytes]], lone: Sequence[bytes]) -> tuple[int, int, int]:
    """Count masks whose bytes differ from lone ones, pixels whose label does, and all pixels."""
    differing = changed = pixels = 0
    for place, bodies in answers.items():
        alone = labels(lone[place])
        pixels += alone.size * bodies.total()
        for body, times in bodies.items():
            if body != lone[place]:
                differing += times
                changed += times * int((labels(body) != alone).sum())
    return differing, changed, pixels
