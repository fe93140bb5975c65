"""Four ways to batch photos of mixed sizes, at two levels: pixels in, and JPEGs in.

All use the worker's own stages; they differ in the photos that share a forward pass, and in its
canvas. "Ours" is `handlers.pipeline` unchanged. Called by `loadtest.benchmark.candidates` and by
the servers of `loadtest.peers`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial

from torch import Tensor

from handlers.job import Answer, Job
from handlers.model_config import ModelConfig
from handlers.runtime.labels import PendingLabels
from handlers.runtime.network import Network
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels
from handlers.shared.wire import Report
from handlers.stages.codecs import CodecCall, Codecs
from handlers.stages.decode import decode, open_photo
from handlers.stages.encode import Mask, encode, wait
from handlers.stages.forward import forward, pass_figures
from handlers.stages.hold import hold
from handlers.stages.outcome import Outcome
from handlers.stages.plan import Group

Grouping = Callable[[Mapping[int, Frame]], list[Group]]

ONE_BY_ONE, PAD_TO_LARGEST, EQUAL_FRAMES, OURS = (
    "one by one",
    "pad to largest",
    "equal frames",
    "ours",
)


def one_by_one(frames: Mapping[int, Frame]) -> list[Group]:
    return [Group(frame, (index,)) for index, frame in frames.items()]


def pad_to_largest(frames: Mapping[int, Frame]) -> list[Group]:
    heights, widths = zip(*frames.values(), strict=True)
    return [Group(Frame(max(heights), max(widths)), tuple(frames))]


def equal_frames(frames: Mapping[int, Frame]) -> list[Group]:
    indices: dict[Frame, list[int]] = {}
    for index, frame in frames.items():
        indices.setdefault(frame, []).append(index)
    return [Group(frame, tuple(members)) for frame, members in indices.items()]


GROUPINGS: dict[str, Grouping] = {
    ONE_BY_ONE: one_by_one,
    PAD_TO_LARGEST: pad_to_largest,
    EQUAL_FRAMES: equal_frames,
}


def plain_padding(network: Network) -> Network:
    """Return a network with naive padding: it treats the whole canvas as photo."""
    padding = copy(network)  # the same weights, not loaded twice
    padding.frames = lambda photos, canvas: [canvas] * len(photos)  # type: ignore[method-assign]
    return padding


def networks_of(network: Network) -> dict[str, Network]:
    return dict.fromkeys((ONE_BY_ONE, EQUAL_FRAMES, OURS), network) | {
        PAD_TO_LARGEST: plain_padding(network)
    }


class NetworkLoop:
    """The network alone: pixels in, scores out.

    It synchronises with the device once per batch, so a GPU's `forward` times are those of its
    launches.
    """

    def __init__(self, network: Network, grouping: Grouping) -> None:
        self._network = network
        self._grouping = grouping

    def run(self, photos: Sequence[Pixels]) -> list[Report]:
        """Score a batch; returns each photo's report, in order."""
        frames = {index: self._network.frame(photo.shape[:2]) for index, photo in enumerate(photos)}
        reports: dict[int, Report] = {}
        for group in self._grouping(frames):
            started = time.perf_counter()
            members = {index: photos[index] for index in group.members}
            self._network.scores(list(members.values()), group.canvas)
            report = Report({"forward": (time.perf_counter() - started) * 1000})
            reports |= dict.fromkeys(members, report)
            figures = pass_figures(group.canvas, members)
            reports[group.members[0]] = replace(report, group=figures)
        self._network.synchronise()
        return [reports[index] for index in range(len(photos))]

    def scores(self, photos: Sequence[Pixels]) -> list[Tensor]:
        """Score a batch; returns each photo's own scores, in order."""
        frames = {index: self._network.frame(photo.shape[:2]) for index, photo in enumerate(photos)}
        scores: dict[int, Tensor] = {}
        for group in self._grouping(frames):
            members = [photos[index] for index in group.members]
            found = self._network.scores(members, group.canvas)
            scores |= dict(zip(group.members, found, strict=True))
        return [scores[index] for index in range(len(photos))]


class PhotoLoop:
    """A bare loop around the network: JPEGs in, PNGs out, decoded and encoded beside it.

    The stages and their order are the worker's; there is no planner, and a failure fails the batch.
    """

    def __init__(self, network: Network, config: ModelConfig, grouping: Grouping) -> None:
        self._network = network
        self._grouping = grouping
        self._open_photo = partial(open_photo, working_max_side=config.working_max_side)
        self._encode = partial(encode, palette=config.palette_bytes)
        self._codecs = Codecs(network.device)

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """Answer a batch, in order."""
        photos = dict(enumerate(self._open_photo(job) for job in jobs))
        decode_calls = [partial(Outcome(each).then, "decode", decode) for each in photos.values()]
        pixels = max(photo.pixels for photo in photos.values())
        decoding = dict(zip(photos, self._codecs.start(decode_calls, pixels), strict=True))
        frames = {index: self._network.frame(photo.working_size) for index, photo in photos.items()}
        encoding: dict[int, CodecCall[Outcome[Mask]]] = {}
        groups = self._grouping(frames)
        for group in groups:
            decoded = {index: decoding[index].result() for index in group.members}
            labelled = forward(self._network, group, photos, decoded)
            encode_calls = [partial(self._finish, each) for each in labelled.values()]
            is_last = group is groups[-1]
            started = self._codecs.start(encode_calls, pixels, caller_waits=is_last)
            encoding |= dict(zip(labelled, started, strict=True))
        answers = hold(encoding)
        return [answers[index] for index in range(len(jobs))]

    def _finish(self, labelled: Outcome[PendingLabels]) -> Outcome[Mask]:
        return labelled.then("forward", wait).then("encode", self._encode)
