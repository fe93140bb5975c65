"""A comparison on disk: the results of all servers and the facts of the run, to JSON and back.

Rounds can be added to those of an earlier run on the same terms, for machines that are not free for
the time that all rounds take. Called by `loadtest.peers.__main__` and `loadtest.peers.page`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.measure.slices import Slice
from loadtest.peers.catalogue import OURSELVES, Entry
from loadtest.peers.install import server_version
from loadtest.peers.run import EntryResult

CHANGING = ("rounds", "revision")  # facts that may differ between runs that are joined


class OtherTermsError(ValueError):
    """The rounds to add were measured on other terms."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one entry; `concurrent` and `single` have a slice per round."""

    setup: Mapping[str, object]
    concurrent: Sequence[Slice]
    single: Sequence[Slice]
    changed_pixels: int  # with concurrent clients, against the same server's reference answers
    pixels: int
    same_as_ours: int  # photos whose reference answer has the bytes of ours

    def joined(self, later: "Result") -> "Result":
        return Result(
            self.setup,
            [*self.concurrent, *later.concurrent],
            [*self.single, *later.single],
            self.changed_pixels + later.changed_pixels,
            self.pixels + later.pixels,
            min(self.same_as_ours, later.same_as_ours),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A comparison: the facts of the run, and a result for each entry, ours first."""

    facts: Mapping[str, object]
    results: Mapping[str, Result]

    def joined(self, later: "Record") -> "Record":
        """Add the rounds of a later run; raises OtherTermsError."""
        if self._terms() != later._terms() or self.results.keys() != later.results.keys():
            raise OtherTermsError("the earlier run was on other terms; run without --add")
        rounds = int(str(self.facts["rounds"])) + int(str(later.facts["rounds"]))
        return Record(
            {**later.facts, "rounds": rounds},
            {name: one.joined(later.results[name]) for name, one in self.results.items()},
        )

    def _terms(self) -> object:
        fixed = {name: value for name, value in self.facts.items() if name not in CHANGING}
        setups = {name: one.setup for name, one in self.results.items()}
        return json.loads(json.dumps([fixed, setups]))

    def write(self, path: Path) -> None:
        results = {name: asdict(one) for name, one in self.results.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"facts": self.facts, "results": results}) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Record":
        raw = json.loads(path.read_text())
        return cls(raw["facts"], {name: read_result(one) for name, one in raw["results"].items()})


def read_result(raw: dict[str, Any]) -> Result:
    slices = {kind: [read_slice(one) for one in raw[kind]] for kind in ("concurrent", "single")}
    return Result(**raw | slices)


def read_slice(raw: dict[str, Any]) -> Slice:
    latencies = tuple((index, ms) for index, ms in raw["latencies_ms"])
    return Slice(**raw | {"latencies_ms": latencies})


def record_of(
    entries: Sequence[Entry], found: Mapping[str, EntryResult], facts: Mapping[str, object]
) -> Record:
    """Combine the results of a run; compares all reference answers with ours."""
    ours = next(found[entry.name] for entry in entries if entry.peer is OURSELVES)
    packages = {entry.peer.name: server_version(entry.peer) for entry in entries}
    results = {entry.name: result_of(entry, found[entry.name], ours) for entry in entries}
    return Record({**facts, "packages": packages}, results)


def result_of(entry: Entry, found: EntryResult, ours: EntryResult) -> Result:
    pairs = zip(found.reference_answers, ours.reference_answers, strict=True)
    same = sum(answer == our_answer for answer, our_answer in pairs)
    setup = {"peer": entry.peer.name, "grouping": entry.grouping} | entry.configuration()
    return Result(setup, found.concurrent, found.single, found.changed_pixels, found.pixels, same)
