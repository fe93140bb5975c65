"""Which photos share a forward pass: sizes in, groups out.

A pure function, called once a TorchServe batch.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from handlers.net.fcn import FRAME_STRIDE


@dataclass(frozen=True, slots=True, order=True)
class Frame:
    """The smallest canvas with sides that the net's stride divides; the photo lies in its top-left
    corner.
    """

    height: int
    width: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> Self:
        """Round (height, width) up to multiples of 32."""
        return cls(*(-(-side // FRAME_STRIDE) * FRAME_STRIDE for side in size))

    @property
    def pixels(self) -> int:
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Group:
    """Photos, by their place in the batch, that go through the network together."""

    frame: Frame
    members: tuple[int, ...]


def plan(sizes: Mapping[int, tuple[int, int]], group_pixels: int) -> list[Group]:
    """Group photos of (height, width) `sizes` by equal frame, within `group_pixels` padded pixels.

    A photo larger than the budget runs alone. Groups are in the order of their first member.
    """
    by_frame: dict[Frame, list[int]] = defaultdict(list)
    for place, size in sizes.items():
        by_frame[Frame.of(size)].append(place)
    groups = []
    for frame, places in by_frame.items():
        room = max(1, group_pixels // frame.pixels)
        groups += [Group(frame, tuple(members)) for members in batched(places, room)]
    return sorted(groups, key=lambda group: group.members)


def batched(places: Sequence[int], room: int) -> list[Sequence[int]]:
    return [places[first : first + room] for first in range(0, len(places), room)]
