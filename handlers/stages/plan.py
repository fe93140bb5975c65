"""Plans a batch: which photos share a forward pass. The canvases of their single passes in, groups
out; a pure function.

Neither the canvas nor the other photos of a pass change a photo's scores
(`handlers.net.exact.network`), so only time decides, among the passes that give a photo the bits of
its single pass: `handlers.runtime.warm_up.run` has measured both. On a CPU nearly every photo then
runs in a single pass, on a GPU hardly any, without a setting. Called by `handlers.pipeline`, once a
batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from handlers.runtime.pass_costs import PassCosts
from handlers.shared.frame import Frame


@dataclass(frozen=True, slots=True)
class Group:
    """Photos, by their index in the batch, that go through the network together."""

    canvas: Frame
    members: tuple[int, ...]


def plan(singles: Mapping[int, Frame], costs: PassCosts) -> list[Group]:
    """Split a batch into groups so that the predicted time is smallest; `singles` are the canvases
    of the photos' single passes.

    Where no passes are shared, as on most processors, there is nothing to choose. Else a photo
    above the ladder runs in a single pass. The others are sorted by size, and a group is a run of
    photos in that order: dynamic programming finds the best of all such splits. Single passes only,
    and all photos on one canvas, are among them.
    """
    if not costs.shared_images:
        return [Group(frame, (index,)) for index, frame in sorted(singles.items())]
    above = [index for index, frame in singles.items() if costs.shared_canvas(*frame) is None]
    single = [Group(singles[index], (index,)) for index in above]
    by_size = sorted(set(singles).difference(above), key=lambda each: (singles[each].pixels, each))
    shapes = [singles[index] for index in by_size]
    group_sizes = costs.shared_images
    best_ms = [0.0]  # of the first 0, 1, 2 ... photos by size
    last_groups: list[tuple[Frame, int]] = []  # and the canvas and first photo of the last group
    for end in range(1, len(by_size) + 1):
        ms, canvas, first = min(
            (best_ms[first] + ms, canvas, first)
            for ms, canvas, first in last_group_options(shapes[:end], costs, group_sizes)
        )
        best_ms.append(ms)
        last_groups.append((canvas, first))
    return sorted(single + groups_of(by_size, last_groups), key=lambda group: group.members)


def last_group_options(
    shapes: Sequence[Frame], costs: PassCosts, group_sizes: frozenset[int]
) -> Iterator[tuple[float, Frame, int]]:
    """List every group that the last of `shapes` may end: its time, canvas, and first photo.

    `group_sizes` has the numbers of photos that may share a pass.
    """
    end = len(shapes)
    yield costs.single_ms(shapes[-1]), shapes[-1], end - 1
    height, width = shapes[-1]
    for images in range(2, min(end, max(group_sizes, default=0)) + 1):
        first = end - images
        height, width = max(height, shapes[first].height), max(width, shapes[first].width)
        if images in group_sizes and (canvas := costs.shared_canvas(height, width)):
            shared = costs.shared.get((canvas, images))
            if shared and shared.admits(shapes[first:end]):
                yield shared.ms, canvas, first


def groups_of(by_size: Sequence[int], last_groups: Sequence[tuple[Frame, int]]) -> list[Group]:
    """Walk back from the largest photo, group by group."""
    groups = []
    end = len(by_size)
    while end:
        canvas, first = last_groups[end - 1]
        groups.append(Group(canvas, tuple(sorted(by_size[first:end]))))
        end = first
    return groups
