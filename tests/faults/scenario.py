"""A fault's whole course: load, the fault, all well again, and what became of everybody."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.clients import Load, photos_with_answers
from tests.faults.counts import Tally
from tests.faults.service import House

FEW_SECONDS = 80  # right answers, before anything is broken

StartHouse = Callable[..., House]


@dataclass(frozen=True, slots=True)
class Strike:
    """Has something done to a house under load, and counts until all is well again."""

    bodies: Sequence[bytes]
    tallies: list[Tally]

    def __call__(self, house: House, name: str, fault: Callable[[], object]) -> Tally:
        """Fails where any answer is wrong or missing, or where the house does not recover."""
        tally = Tally(name)
        self.tallies.append(tally)
        photos = photos_with_answers(house, self.bodies)
        with Load(house.url, photos, tally) as load:
            load.wait_for_right_answers(FEW_SECONDS)
            tally.struck_at = time.monotonic()
            fault()
            house.wait_until_whole()
            tally.whole_after_s = time.monotonic() - tally.struck_at
            load.wait_until_steady()
        assert not tally.losses, tally.losses[:5]
        assert tally.wrong == 0
        assert tally.sent == tally.right + tally.problems.total()
        assert house.is_ready()
        return tally
