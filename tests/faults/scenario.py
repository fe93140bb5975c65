"""A scenario: load, a fault, recovery, and the counts of all outcomes.

Used by the tests through the fixture `scenario`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.clients import ConcurrentClients, photos_with_answers
from tests.faults.counts import Counts
from tests.faults.service import Service

ANSWERS_BEFORE = 80  # correct answers, a few seconds, before the fault

StartService = Callable[..., Service]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Causes a fault in a service under load, and counts until it has recovered."""

    bodies: Sequence[bytes]
    results: list[Counts]

    def __call__(
        self, service: Service, name: str, fault: Callable[[], object], may_lose: int = 0
    ) -> Counts:
        """Fails where an answer is wrong, or where more than `may_lose` are missing, or where the
        service does not recover.
        """
        counts = Counts(name)
        self.results.append(counts)
        photos = photos_with_answers(service, self.bodies)
        with ConcurrentClients(service.url, photos, counts) as clients:
            clients.wait_for_correct_answers(ANSWERS_BEFORE)
            counts.fault_at = time.monotonic()
            fault()
            service.wait_until_complete()
            counts.recovered_after_s = time.monotonic() - counts.fault_at
            clients.wait_until_steady()
        assert len(counts.losses) <= may_lose, counts.losses[:5]
        assert counts.wrong == 0
        assert counts.sent == counts.correct + counts.problems.total() + len(counts.losses)
        assert service.is_ready()
        return counts
