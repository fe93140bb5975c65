"""The outcomes of all requests sent during a fault: one row of the table.

Filled by `tests.faults.clients`, written by `tests.faults.results`.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from itertools import pairwise

import service.errors  # noqa: F401 - defines subclasses of ProblemError
from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError

CODES = {error.code: error.status for error in ProblemError.__subclasses__()}
HEADINGS = (
    "fault",
    "sent",
    "correct",
    "correct %",
    "wrong",
    "documented errors",
    "lost",
    "longest gap s",
    "slowest correct s",
    "recovered s",
)
# fields that the JSON file leaves out, or writes in another form
NOT_SAVED = {"fault_at", "answered_at", "took_s", "failed_at", "problems"}


@dataclass(slots=True)
class Counts:
    """Each request is correct, wrong, refused with a documented problem, or lost."""

    fault: str
    sent: int = 0
    correct: int = 0
    wrong: int = 0
    problems: Counter[str] = field(default_factory=Counter)  # by code
    losses: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    fault_at: float | None = None
    recovered_after_s: float | None = None  # TorchServe, all workers and /readyz
    answered_at: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)  # of the correct answers
    failed_at: float = float("-inf")

    def add_answer(
        self, reference: bytes, status: int, media_type: str, body: bytes, took_s: float
    ) -> bool:
        """Count an answer; returns whether it is the reference answer."""
        if status == HTTPStatus.OK and body == reference:
            self.correct += 1
            self.slowest_s = max(self.slowest_s, took_s)
            self.answered_at.append(time.monotonic())
            self.took_s.append(took_s)
            return True
        self.failed_at = time.monotonic()
        if status == HTTPStatus.OK:
            self.wrong += 1
        elif code := documented_code(status, media_type, body):
            self.problems[code] += 1
        else:
            self.losses.append(f"status {status}, {media_type}: {body[:200]!r}")
        return False

    def add_loss(self, error: Exception) -> None:
        self.failed_at = time.monotonic()
        self.losses.append(repr(error))

    @property
    def lost(self) -> int:
        return len(self.losses)

    @property
    def correct_percent(self) -> float:
        return 100 * self.correct / self.sent

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a correct answer, from the fault on."""
        since = self.fault_at or float("-inf")
        times = [at for at in self.answered_at if at > since]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        first = [times[0] - self.fault_at] if self.fault_at and times else []
        return max([*first, *gaps], default=0.0)

    def is_steady(self, since: float, seconds: float) -> bool:
        """Whether for so long every answer was correct, and at least one came per second."""
        begun = time.monotonic() - seconds
        recent = sum(at > begun for at in self.answered_at)
        return max(since, self.failed_at) < begun and recent > seconds

    def cells(self) -> tuple[str, ...]:
        """Write a row's cells, in the order of HEADINGS."""
        problems = ", ".join(f"{count} {code}" for code, count in sorted(self.problems.items()))
        recovered_s = self.recovered_after_s
        return (
            self.fault,
            str(self.sent),
            str(self.correct),
            f"{self.correct_percent:.2f}",
            str(self.wrong),
            problems or "0",
            str(self.lost),
            f"{self.longest_gap_s:.1f}",
            f"{self.slowest_s:.1f}",
            "-" if recovered_s is None else f"{recovered_s:.1f}",
        )

    def data(self) -> dict[str, object]:
        """Return the values of the JSON file."""
        saved = [each.name for each in fields(self) if each.name not in NOT_SAVED]
        computed = {"lost": self.lost, "longest_gap_s": self.longest_gap_s}
        return (
            {name: getattr(self, name) for name in saved}
            | computed
            | {"problems": dict(self.problems)}
        )


def documented_code(status: int, media_type: str, body: bytes) -> str | None:
    """Return a problem's code; None unless it is documented, with this status and a detail."""
    if media_type != PROBLEM_MEDIA_TYPE:
        return None
    try:
        document = json.loads(body)
        code: str = document["code"]
    except (ValueError, LookupError, TypeError):
        return None
    is_documented = CODES.get(code) == document.get("status") == status and document.get("detail")
    return code if is_documented else None
