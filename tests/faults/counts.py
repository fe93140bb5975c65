"""What became of every request that was sent while something broke: one row of the table."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from itertools import pairwise

import service.errors  # noqa: F401 - fills ProblemError's family
from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError

CODES = {kind.code: kind.status for kind in ProblemError.__subclasses__()}
HEADINGS = (
    "fault",
    "sent",
    "right",
    "right %",
    "wrong",
    "truthful errors",
    "lost",
    "longest silence s",
    "slowest right s",
    "whole again s",
)


@dataclass(slots=True)
class Tally:
    """Each request is right, wrong, refused with a documented problem, or lost."""

    fault: str
    sent: int = 0
    right: int = 0
    wrong: int = 0
    problems: Counter[str] = field(default_factory=Counter)  # by code
    losses: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    struck_at: float | None = None
    whole_after_s: float | None = None  # TorchServe, all workers and /readyz
    answered_at: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)  # of the right answers
    failed_at: float = float("-inf")

    def answered(self, right: bytes, status: int, media_type: str, body: bytes, s: float) -> bool:
        """Count an answer that took `s` seconds; tell whether it is the right one."""
        if status == HTTPStatus.OK and body == right:
            self.right += 1
            self.slowest_s = max(self.slowest_s, s)
            self.answered_at.append(time.monotonic())
            self.took_s.append(s)
            return True
        self.failed_at = time.monotonic()
        if status == HTTPStatus.OK:
            self.wrong += 1
        elif code := documented_code(status, media_type, body):
            self.problems[code] += 1
        else:
            self.losses.append(f"status {status}, {media_type}: {body[:200]!r}")
        return False

    def lose(self, error: Exception) -> None:
        self.failed_at = time.monotonic()
        self.losses.append(repr(error))

    @property
    def lost(self) -> int:
        return len(self.losses)

    @property
    def right_percent(self) -> float:
        return 100 * self.right / self.sent

    @property
    def longest_silence_s(self) -> float:
        """The longest time without any right answer, from the fault on."""
        since = self.struck_at or float("-inf")
        moments = [at for at in self.answered_at if at > since]
        pauses = [later - earlier for earlier, later in pairwise(moments)]
        first = [moments[0] - self.struck_at] if self.struck_at and moments else []
        return max([*first, *pauses], default=0.0)

    def is_steady(self, since: float, seconds: float) -> bool:
        """For so long, nothing but right answers, and a stream of them."""
        begun = time.monotonic() - seconds
        recent = sum(at > begun for at in self.answered_at)
        return max(since, self.failed_at) < begun and recent > seconds

    def cells(self) -> tuple[str, ...]:
        """Write a row's cells, in the order of HEADINGS."""
        problems = ", ".join(f"{count} {code}" for code, count in sorted(self.problems.items()))
        whole = "-" if self.whole_after_s is None else f"{self.whole_after_s:.1f}"
        return (
            self.fault,
            str(self.sent),
            str(self.right),
            f"{self.right_percent:.2f}",
            str(self.wrong),
            problems or "0",
            str(self.lost),
            f"{self.longest_silence_s:.1f}",
            f"{self.slowest_s:.1f}",
            whole,
        )

    def raw(self) -> dict[str, object]:
        """What a JSON file keeps of it."""
        left_out = {"struck_at", "answered_at", "took_s", "failed_at", "problems"}
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        kept = {name: value for name, value in kept.items() if name not in left_out}
        reckoned = {"lost": self.lost, "longest_silence_s": self.longest_silence_s}
        return kept | reckoned | {"problems": dict(self.problems)}


def documented_code(status: int, media_type: str, body: bytes) -> str | None:
    """Read a problem's code; None unless it is a documented one, with its own status."""
    if media_type != PROBLEM_MEDIA_TYPE:
        return None
    try:
        document = json.loads(body)
        code: str = document["code"]
    except (ValueError, LookupError, TypeError):
        return None
    is_documented = CODES.get(code) == document.get("status") == status and document.get("detail")
    return code if is_documented else None
