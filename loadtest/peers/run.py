"""One run: the servers of a heat are all up, and take turns at the load, round after round.

In: entries and photos. Out: for each entry its slices, and how its answers compare with those of
the same server alone. Short turns close in time, since a machine's speed changes within minutes.
Those that pad need gigabytes, so they run in heats of their own.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtest.benchmark.data_set import labels
from loadtest.benchmark.rows import Slice
from loadtest.benchmark.strategies import PAD_TO_LARGEST
from loadtest.measure.service import client_process
from loadtest.peers.catalogue import Entry
from loadtest.peers.server import Hosted, hosted
from loadtest.traffic.concurrent_clients import Burst

Tell = Callable[[str], None]
ALONE = 1  # client
QUIET = 0.05  # share of the processors that others may take during a slice
TRIES = 3  # to find such a slice; the quietest counts
PADDED_AT_ONCE = 3  # servers; each may take four gigabytes
OFFSET = 3  # entries by which each round begins later


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
) -> Iterator[dict[str, Found]]:
    """Run heat after heat; after each, gives all that was found so far."""
    found: dict[str, Found] = {}
    with client_process() as executor:
        for heat in heats(entries):
            found |= run_heat(heat, model, photos, terms, executor, tell)
            yield found


def heats(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Put all together that do not pad, ours among them, then a few at a time that do."""
    padded = [entry for entry in entries if entry.grouping == PAD_TO_LARGEST]
    others = [entry for entry in entries if entry.grouping != PAD_TO_LARGEST]
    chunks = [padded[at : at + PADDED_AT_ONCE] for at in range(0, len(padded), PADDED_AT_ONCE)]
    return [others, *chunks]


def run_heat(
    heat: Sequence[Entry],
    model: Path,
    photos: Sequence[bytes],
    terms: Terms,
    executor: Executor,
    tell: Tell,
) -> dict[str, Found]:
    """Start a heat's servers, warm them up, and give each a slice in every round."""
    found: dict[str, Found] = {}
    with ExitStack() as stack:
        servers = {}
        for entry in heat:
            server = stack.enter_context(hosted(entry, model, photos[0]))
            found[entry.name] = warmed_up(server, photos, terms, executor)
            servers[entry.name] = server
            tell(f"{entry.name} is up")
        for turn in range(terms.rounds):
            first = turn * OFFSET % len(heat)
            for entry in [*heat[first:], *heat[:first]]:
                visit(servers[entry.name], photos, terms, executor, found[entry.name])
                tell(f"round {turn + 1}: {entry.name}: {told_of(found[entry.name].crowd[-1])}")
    return found


def told_of(one: Slice) -> str:
    return f"{one.images_per_s:.1f} masks/s, others took {100 * one.foreign_share:.0f} %"


def warmed_up(server: Hosted, photos: Sequence[bytes], terms: Terms, executor: Executor) -> Found:
    """Ask for each photo alone, to compare with later, then send a crowd."""
    _, seen = server.burst(photos, ALONE, 0, executor)
    server.burst(photos, terms.clients, terms.warm_up_s, executor)
    return Found(lone_answers=lone_answers(seen, len(photos)))


def visit(
    server: Hosted, photos: Sequence[bytes], terms: Terms, executor: Executor, found: Found
) -> None:
    """Measure a slice under load, and one of a photo at a time."""
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
