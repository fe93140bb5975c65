"""The stages of a GPU check in their order, and how much each of them does.

Read by `loadtest.gpu_check.runner`, which starts each as a process of its own, and by the stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

TORCH = ("torch", "numpy")
NETWORK = (*TORCH, "pydantic", "yaml", "safetensors", "PIL", "simplejpeg")
PIPELINE = (*NETWORK, "isal")
# modules whose packages have another name
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml"}
# of all stages together, so that a machine that is lent for ten minutes is enough
TOTAL_S = 475.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A module of this package with a function `run`, its time limit, and the modules it needs."""

    module: str
    limit_s: float
    needs: Sequence[str]
    title: str

    def missing(self) -> list[str]:
        """Name the packages that this Python lacks."""
        return [PACKAGES.get(name, name) for name in self.needs if find_spec(name) is None]


STAGES: Mapping[str, Stage] = {
    "rates": Stage("rates", 35, TORCH, "Versions, copy rates and matrix rates"),
    "tests": Stage("marked_tests", 50, (*PIPELINE, "pytest", "hypothesis"), "Tests marked gpu"),
    "labels": Stage("labels", 35, NETWORK, "Labels beside those of fp32 on a CPU"),
    "invariance": Stage("invariance", 70, NETWORK, "Shared passes beside single ones"),
    "replays": Stage("replays", 75, NETWORK, "Passes and labels by time, and variants"),
    "variants": Stage("variants", 30, TORCH, "Variants of layers"),
    "kernels": Stage("kernels", 35, NETWORK, "Kernels by time, and the idle share"),
    "pipeline": Stage("pipeline", 65, PIPELINE, "The pipeline in process"),
    "workers": Stage("workers", 75, PIPELINE, "Worker processes without TorchServe"),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """The device, and how much each stage does there."""

    device: str
    precision: str  # of the stages that have one
    precisions: tuple[str, ...]
    matrix_side: int
    copied_bytes: int
    rounds: int  # of each timing
    repeats: int  # in a round
    canvases: tuple[tuple[int, int], ...]
    images: tuple[int, ...]  # that share a pass
    vgg_channels: tuple[int, int, int, int, int]
    vgg_fc_channels: int
    vgg_images: tuple[int, ...]
    batch: int
    sets: tuple[str, ...]  # of photos, by size
    photos: int  # of each set
    seconds: float  # of each measurement of masks a second
    processes: tuple[int, ...]
    longest_warm_up_s: float  # production has 40 s on a GPU, which two stages have not


FULL = Scale(
    device="cuda",
    precision="bf16",
    precisions=("fp32", "fp16", "bf16"),
    matrix_side=8192,
    copied_bytes=4 << 30,
    rounds=5,
    repeats=10,
    canvases=((384, 512), (512, 512), (256, 256), (512, 384), (128, 128), (768, 768)),
    images=(1, 4, 16),
    vgg_channels=(64, 128, 256, 512, 512),
    vgg_fc_channels=4096,
    vgg_images=(1, 4, 8),
    batch=16,
    sets=("one", "mix"),
    photos=64,
    seconds=4.0,
    processes=(1, 2, 3, 4),
    longest_warm_up_s=20.0,
)
# on the CPU: shows that each stage runs, no figure of it means anything
DRY = Scale(
    device="cpu",
    precision="fp32",
    precisions=("fp32",),  # a CPU may lack the others, and torch then takes minutes for them
    matrix_side=128,
    copied_bytes=1 << 20,
    rounds=1,
    repeats=1,
    canvases=((128, 128),),
    images=(1, 2),
    vgg_channels=(8, 8, 8, 8, 8),
    vgg_fc_channels=16,
    vgg_images=(1,),
    batch=3,
    sets=("mix",),
    photos=3,
    seconds=0.0,
    processes=(1, 2),
    longest_warm_up_s=0.0,
)
