"""Which photos share a forward pass: frames in, groups out. A pure function, called once a batch.

Since canvas and company do not change a photo's scores (`handlers.net.exact.network`), only time
decides. What a pass takes is measured at the start (`handlers.runtime.warm_up`): on a CPU nearly
everything then runs alone, on a GPU hardly anything, and nobody has to say so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from handlers.runtime.pass_costs import PassCosts
from handlers.shared.frame import Frame


@dataclass(frozen=True, slots=True)
class Group:
    """Photos, by their place in the batch, that go through the network together."""

    canvas: Frame
    members: tuple[int, ...]


def plan(frames: Mapping[int, Frame], costs: PassCosts) -> list[Group]:
    """Split a batch into groups so that the predicted time is smallest.

    A photo above the ladder runs alone. The others are lined up by size, and a group is a run of
    neighbours in that line: the best of all such splits is found by dynamic programming. One by
    one, and all on one canvas, are among them.
    """
    above = [place for place, frame in frames.items() if costs.shared_canvas(*frame) is None]
    alone = [Group(frames[place], (place,)) for place in above]
    line = sorted(set(frames).difference(above), key=lambda place: (frames[place].pixels, place))
    shapes = [frames[place] for place in line]
    company = costs.shared_images()
    best_ms = [0.0]  # of the first 0, 1, 2 ... photos of the line
    last_groups: list[tuple[Frame, int]] = []  # and the canvas and first photo of the last group
    for end in range(1, len(line) + 1):
        ms, canvas, first = min(
            (best_ms[first] + ms, canvas, first)
            for ms, canvas, first in endings(shapes[:end], costs, company)
        )
        best_ms.append(ms)
        last_groups.append((canvas, first))
    return sorted(alone + cut(line, last_groups), key=lambda group: group.members)


def endings(
    shapes: Sequence[Frame], costs: PassCosts, company: frozenset[int]
) -> Iterator[tuple[float, Frame, int]]:
    """Name every group that the last of `shapes` may end: its time, canvas, and first photo.

    `company` has the numbers of photos that may share a pass; on a GPU a lone one may be among
    them, whose recorded pass is faster on a canvas of the ladder than on its own.
    """
    end = len(shapes)
    height, width = shapes[-1]
    yield costs.single_ms(shapes[-1]), shapes[-1], end - 1
    for images in range(1, min(end, max(company, default=0)) + 1):
        first = end - images
        height, width = max(height, shapes[first].height), max(width, shapes[first].width)
        if images in company and (canvas := costs.shared_canvas(height, width)):
            ms = costs.shared_ms.get((canvas, images))
            if ms is not None:
                yield ms, canvas, first


def cut(line: Sequence[int], last_groups: Sequence[tuple[Frame, int]]) -> list[Group]:
    """Walk back from the end of the line, group by group."""
    groups = []
    end = len(line)
    while end:
        canvas, first = last_groups[end - 1]
        groups.append(Group(canvas, tuple(sorted(line[first:end]))))
        end = first
    return groups
