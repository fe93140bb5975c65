"""Plans a batch: which photos share a forward pass. Frames in, groups out; a pure function.

Neither the canvas nor the other photos of a pass change a photo's scores
(`handlers.net.exact.network`), so only time decides. `handlers.runtime.warm_up` has measured what
passes take: on a CPU nearly every photo then runs in a single pass, on a GPU hardly any, without a
setting. Called by `handlers.pipeline`, once a batch.
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


def plan(frames: Mapping[int, Frame], costs: PassCosts) -> list[Group]:
    """Split a batch into groups so that the predicted time is smallest.

    A photo above the ladder runs in a single pass. The others are sorted by size, and a group is a
    run of photos in that order: dynamic programming finds the best of all such splits. Single
    passes only, and all photos on one canvas, are among them.
    """
    above = [index for index, frame in frames.items() if costs.shared_canvas(*frame) is None]
    single = [Group(frames[index], (index,)) for index in above]
    by_size = sorted(set(frames).difference(above), key=lambda each: (frames[each].pixels, each))
    shapes = [frames[index] for index in by_size]
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

    `group_sizes` has the numbers of photos that may share a pass; on a GPU 1 may be among them: a
    recorded pass on a canvas of the ladder is faster than one on the photo's own frame.
    """
    end = len(shapes)
    height, width = shapes[-1]
    yield costs.single_ms(shapes[-1]), shapes[-1], end - 1
    for images in range(1, min(end, max(group_sizes, default=0)) + 1):
        first = end - images
        height, width = max(height, shapes[first].height), max(width, shapes[first].width)
        if images in group_sizes and (canvas := costs.shared_canvas(height, width)):
            ms = costs.shared_ms.get((canvas, images))
            if ms is not None:
                yield ms, canvas, first


def groups_of(by_size: Sequence[int], last_groups: Sequence[tuple[Frame, int]]) -> list[Group]:
    """Walk back from the largest photo, group by group."""
    groups = []
    end = len(by_size)
    while end:
        canvas, first = last_groups[end - 1]
        groups.append(Group(canvas, tuple(sorted(by_size[first:end]))))
        end = first
    return groups
