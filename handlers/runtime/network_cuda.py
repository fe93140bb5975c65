"""The network on a GPU: photos go up, pass through and come down on streams of their own.

    pinned pixels --up--> uint8 on the device --through--> labels --down--> pinned labels

Photos go up as they are decoded, half the bytes of what the network reads; they are normalised,
scored, brought to their own sizes and labelled there, and only labels come down. Nothing waits
before labels are read, so one group's copies run beside another's pass.

A pass that photos may share has its kernels recorded once (a CUDA graph) and is replayed in one
launch: where its photos end is data (`handlers.net.exact.masks`), so one recording serves photos of
any sizes on its canvas. All passes follow each other on one stream, so they may share the memory of
their maps. Everything but the recording runs on a processor, too, for tests.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from handlers.model_config import ModelConfig
from handlers.net.exact.masks import outside
from handlers.net.exact.rewrite import MASKS
from handlers.runtime.canvas_batch import (
    PINNED_BYTES,
    CanvasBatch,
    CanvasShape,
    canvas_batches,
)
from handlers.runtime.device import Device, prepare_cpu, prepare_gpu
from handlers.runtime.device_errors import Failure, diagnose, kernels_by_rule
from handlers.runtime.labels import LabelArray, OutputRequest, PendingLabels
from handlers.runtime.network import Network
from handlers.runtime.pass_costs import ladder_canvas
from handlers.runtime.upsample.gpu import (
    ScoredPhoto,
    label_pixels,
    pack_tables,
    split_labels,
)
from handlers.shared.frame import Frame, Size
from handlers.shared.photo import Pixels

logger = logging.getLogger(__name__)

# of the sides of single passes' canvases above the ladder: a library takes up to a second to choose
# the kernels of a shape that it has not seen
SINGLE_STRIDE = 128


class StagedPhotos(NamedTuple):
    """A group's photos on the device: pixels (N, H, W, 3) uint8, and where each ends, (1 + strips,
    N, 2) int32: in the canvas, and in the map of each strip.
    """

    pixels: Tensor
    ends: Tensor


@dataclass(frozen=True, slots=True)
class RecordedPass:
    """A pass that reads what is written into `staged`, and writes its `scores`."""

    graph: torch.cuda.CUDAGraph
    staged: StagedPhotos
    scores: Tensor

    def replay(self, staged: StagedPhotos) -> Tensor:
        """Queue the pass; its scores hold until the next replay."""
        self.staged.pixels.copy_(staged.pixels)
        self.staged.ends.copy_(staged.ends)
        self.graph.replay()
        return self.scores


@dataclass(frozen=True, slots=True)
class CopiedLabels(PendingLabels):
    """Labels (H, W), and confidence, that the device computes and copies into pinned memory."""

    copied: Any  # the event after the copy
    labels: Tensor
    confidence: Tensor | None

    def wait(self) -> None:
        """Wait until the device has copied them, without holding the GIL."""
        self.copied.synchronize()

    def read(self) -> tuple[LabelArray, LabelArray | None]:
        """Return classes (H, W), and confidence (H, W) where the request asks for it."""
        self.wait()
        return self.labels.numpy(), None if self.confidence is None else self.confidence.numpy()


class CudaNetwork(Network):
    """One model on one GPU."""

    blanking = MASKS
    fewest_shared = 1  # single passes on the ladder are recorded, too

    def __init__(self, config: ModelConfig, folder: Path, device: Device) -> None:
        if device.kind == "cuda":
            prepare_gpu(device, exact=config.batching.exact)
        else:
            prepare_cpu(device.threads)
        super().__init__(config, folder, device)
        self._streams = torch.get_device_module(device.torch_device)
        self._up, self._through, self._down = (self._streams.Stream() for _ in range(3))
        self._recorded: dict[tuple[Frame, int], RecordedPass] = {}
        self._pool: Any = None
        self._exact = config.batching.exact
        self._ladder = config.batching.ladder.on(device.kind)
        # of every recorded pass: there is one at a time
        most = 3 * config.batching.group_pixels.on(device.kind)
        self._pixels = torch.empty(most, dtype=torch.uint8, device=device.torch_device)
        self._streams.synchronize()  # weights moved on a stream that the others do not wait for
        self._can_record = self._try_to_record()

    def single_canvas(self, size: Size) -> Frame:
        """Return the canvas of the single pass of a photo of (height, width) `size`: one of the
        ladder, which may be recorded, or above it.
        """
        frame = self.frame(size)
        return ladder_canvas(self._ladder, *frame) or Frame.of(frame, SINGLE_STRIDE)

    def canvas_batches(self, shapes: Sequence[CanvasShape]) -> list[CanvasBatch | None]:
        """Allocate memory that the device copies from."""
        return canvas_batches(shapes, pinned=self.device.kind == "cuda")

    @torch.inference_mode()
    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        """Score photos (h, w, 3) on one canvas: (classes, h, w) each, of its own frame."""
        scores = self._pass(self._stage(photos, canvas))
        with self._streams.stream(self._through):
            scores = scores.clone()  # the next replay writes over a recorded pass's own
        self._streams.current_stream().wait_stream(self._through)
        return self._crop_scores(scores, photos)

    @torch.inference_mode()
    def label(
        self, photos: Sequence[Pixels], requests: Sequence[OutputRequest], canvas: Frame
    ) -> list[PendingLabels]:
        """Queue all that makes the photos' labels, and return at once."""
        scores = self._pass(self._stage(photos, canvas))
        scored = [
            ScoredPhoto(photo.shape[:2], self._net.score_size(self.frame(photo.shape[:2])), request)
            for photo, request in zip(photos, requests, strict=True)
        ]
        # while the pass runs
        height, width = scores.shape[2:]
        tables = self._bring_up(pack_tables(scored, self.score_placement, (height, width)))
        self._through.wait_stream(self._up)
        with self._streams.stream(self._through):
            made = label_pixels(scores, tables, scored)
        return self._bring_down(made, scored)

    @torch.inference_mode()
    def prepare(self, images: int, canvas: Frame) -> None:
        """Record the pass of so many photos on `canvas`, where the device can."""
        if self._can_record:
            self._recorded[canvas, images] = self._record(images, canvas)

    def _try_to_record(self) -> bool:
        """Record a small pass, and return whether the device can."""
        if self.device.kind != "cuda":
            return False
        try:
            self._record(1, Frame.of((1, 1), self.stride))
        except RuntimeError as error:
            if diagnose(error) is Failure.device_lost:
                raise
            logger.warning("passes cannot be recorded, and run kernel by kernel: %s", error)
            return False
        return True

    def _record(self, images: int, canvas: Frame) -> RecordedPass:
        staged = self._static(images, canvas)
        with self._check(images):
            with self._streams.stream(self._through):
                self._score(staged)  # chooses the kernels, which must not happen in the recording
            self._streams.synchronize()
            graph = torch.cuda.CUDAGraph()
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            # codec threads may call the device meanwhile: "thread_local" lets them
            recording = torch.cuda.graph(graph, self._pool, self._through, "thread_local")
            with self._streams.stream(self._through), recording:
                scores = self._score(staged)
        return RecordedPass(graph, staged, scores)

    def forget(self, images: int, canvas: Frame) -> None:
        self._recorded.pop((canvas, images), None)

    def synchronise(self) -> None:
        self._streams.synchronize()

    def end_warm_up(self) -> None:
        """Time no more kernels: those of a new shape would take seconds, in a request."""
        torch.backends.cudnn.benchmark = False

    def _static(self, images: int, canvas: Frame) -> StagedPhotos:
        """Return the inputs of a recorded pass; those of all passes share their memory."""
        pixels = self._pixels[: images * canvas.pixels * 3].view(images, *canvas, 3)
        ends = self._ends([canvas] * images, [canvas] * images)
        return StagedPhotos(pixels, ends.to(self.device.torch_device))

    def _stage(self, photos: Sequence[Pixels], canvas: Frame) -> StagedPhotos:
        """Send photos (h, w, 3) up: in one copy, where they were decoded for it."""
        batch = photos if isinstance(photos, CanvasBatch) else self._lay_out(photos, canvas)
        ends = self._ends([photo.shape[:2] for photo in photos], self.frames(photos, canvas))
        return StagedPhotos(self._bring_up(batch.pixels), self._bring_up(ends))

    def _lay_out(self, photos: Sequence[Pixels], canvas: Frame) -> CanvasBatch:
        shape = CanvasShape(canvas, [photo.shape[:2] for photo in photos])
        batch = CanvasBatch(shape, pinned=self._is_pinned(shape.bytes))
        for corner, photo in zip(batch, photos, strict=True):
            corner[...] = photo
        return batch

    def _is_pinned(self, host_bytes: int) -> bool:
        """Return whether memory of the processor that is copied from or to is page-locked."""
        return self.device.kind == "cuda" and host_bytes <= PINNED_BYTES

    def _ends(self, sizes: Sequence[Size], frames: Sequence[Size]) -> Tensor:
        return torch.cat((torch.tensor([sizes], dtype=torch.int32), self._net.ends(frames)))

    def _bring_up(self, host: Tensor) -> Tensor:
        if self._is_pinned(host.nbytes) and not host.is_pinned():
            host = host.pin_memory()
        with self._streams.stream(self._up):
            there = host.to(self.device.torch_device, non_blocking=True)
        return self._keep_until(there, self._through)

    def _keep_until(self, tensor: Tensor, stream: Any) -> Tensor:
        """Keep a tensor's memory from being used again until `stream` is done with it."""
        if tensor.is_cuda:
            tensor.record_stream(stream)
        return tensor

    def _pass(self, staged: StagedPhotos) -> Tensor:
        """Queue the pass, recorded or not: scores (N, classes, h, w) fp32, until the next one."""
        self._through.wait_stream(self._up)
        images, height, width = staged.pixels.shape[:3]
        recorded = self._recorded.get((Frame(height, width), images))
        with self._streams.stream(self._through):
            if recorded:
                return recorded.replay(staged)
            with self._check(images):
                return self._score(staged)

    def _check(self, images: int) -> AbstractContextManager[None]:
        """Check a pass of so many photos: where bits count, cuDNN has to use the right kernels."""
        is_checked = self._exact and self.device.kind == "cuda"
        return kernels_by_rule(images) if is_checked else nullcontext()

    def _score(self, staged: StagedPhotos) -> Tensor:
        canvas = self._normalise(staged.pixels, staged.ends[0])
        return self._net.masked(canvas, staged.ends[1:]).float()

    def _normalise(self, pixels: Tensor, sizes: Tensor) -> Tensor:
        """Make what the network reads, (N, channels, H, W), zero outside of the photos and in
        channels beyond their three.
        """
        images, height, width, channels = pixels.shape
        photos = pixels.float().sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)
        photos.masked_fill_(outside(sizes[None], (height, width))[0], 0)
        canvas = torch.zeros(
            (images, height, width, self._net.canvas_channels),
            dtype=self.device.dtype,
            device=pixels.device,
        )
        canvas[..., :channels] = photos.permute(0, 2, 3, 1)
        return canvas.permute(0, 3, 1, 2)

    def _bring_down(self, made: Tensor, scored: Sequence[ScoredPhoto]) -> list[PendingLabels]:
        """Queue the copy of a group's labels."""
        cuda = self.device.kind == "cuda"
        self._down.wait_stream(self._through)
        with self._streams.stream(self._down):
            pinned = self._is_pinned(made.nbytes)
            host = torch.empty(made.shape, dtype=torch.uint8, pin_memory=pinned)
            host.copy_(self._keep_until(made, self._down), non_blocking=True)
            copied = self._streams.Event(**({"blocking": True} if cuda else {}))
            copied.record(self._down)
        return [CopiedLabels(copied, *parts) for parts in split_labels(host, scored)]
