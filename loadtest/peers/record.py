"""A comparison as it is kept: what was found and on what, to JSON and back.

Rounds can be added to those of an earlier run on the same terms, for machines that are not free
for as long as all rounds take.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.benchmark.rows import Slice
from loadtest.peers.catalogue import OURSELVES, Entry
from loadtest.peers.install import release
from loadtest.peers.run import Found

GROWING = ("rounds", "revision")  # what may differ between runs that are joined


class OtherTermsError(ValueError):
    """Rounds were measured on other terms than those they are added to."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was found of one entry; a slice of each kind a round."""

    setup: Mapping[str, object]
    crowd: Sequence[Slice]
    lone: Sequence[Slice]
    changed_pixels: int  # in a crowd, against the same server's lone answers
    pixels: int
    lone_as_ours: int  # photos whose lone answer has the bytes of ours

    def joined(self, later: "Result") -> "Result":
        return Result(
            self.setup,
            [*self.crowd, *later.crowd],
            [*self.lone, *later.lone],
            self.changed_pixels + later.changed_pixels,
            self.pixels + later.pixels,
            min(self.lone_as_ours, later.lone_as_ours),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """All of a comparison: the facts, and a result for each entry, ours first."""

    about: Mapping[str, object]
    results: Mapping[str, Result]

    def joined(self, later: "Record") -> "Record":
        """Add the rounds of a later run; raises OtherTermsError."""
        if self._terms() != later._terms() or self.results.keys() != later.results.keys():
            raise OtherTermsError("the earlier run was on other terms; run without --add")
        rounds = int(str(self.about["rounds"])) + int(str(later.about["rounds"]))
        return Record(
            {**later.about, "rounds": rounds},
            {name: one.joined(later.results[name]) for name, one in self.results.items()},
        )

    def _terms(self) -> object:
        fixed = {name: value for name, value in self.about.items() if name not in GROWING}
        setups = {name: one.setup for name, one in self.results.items()}
        return json.loads(json.dumps([fixed, setups]))

    def write(self, path: Path) -> None:
        results = {name: asdict(one) for name, one in self.results.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"about": self.about, "results": results}) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Record":
        told = json.loads(path.read_text())
        return cls(told["about"], {name: read_result(one) for name, one in told["results"].items()})


def read_result(told: dict[str, Any]) -> Result:
    slices = {kind: [read_slice(one) for one in told[kind]] for kind in ("crowd", "lone")}
    return Result(**told | slices)


def read_slice(told: dict[str, Any]) -> Slice:
    latencies = tuple((place, ms) for place, ms in told["latencies_ms"])
    return Slice(**told | {"latencies_ms": latencies})


def record_of(
    entries: Sequence[Entry], found: Mapping[str, Found], about: Mapping[str, object]
) -> Record:
    """Put together what a run found; lone answers are compared with ours."""
    ours = next(found[entry.name] for entry in entries if entry.peer is OURSELVES)
    packages = {entry.peer.name: release(entry.peer) for entry in entries}
    results = {entry.name: result_of(entry, found[entry.name], ours) for entry in entries}
    return Record({**about, "packages": packages}, results)


def result_of(entry: Entry, found: Found, ours: Found) -> Result:
    same = sum(a == b for a, b in zip(found.lone_answers, ours.lone_answers, strict=True))
    setup = {"peer": entry.peer.name, "grouping": entry.grouping} | entry.told()
    return Result(setup, found.crowd, found.lone, found.changed_pixels, found.pixels, same)
