"""Networks as a GPU's worker has them, for the stages; on a CPU all but the recording runs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from handlers.model_config import ModelConfig, load_config
from handlers.net.options import OPTION_KEYS
from handlers.runtime.canvas_batch import CanvasShape
from handlers.runtime.device import Device, check_gpu, cpu_threads
from handlers.runtime.network_cuda import CudaNetwork
from handlers.runtime.warm_up.run import LONGEST_S
from handlers.runtime.warm_up.sameness import photo_of
from handlers.runtime.weights import BACKBONE, build_net
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.runner import ROOT

MODEL = ROOT / "model_store" / "fcn8s-lite2"
SAMPLES = ROOT / "service" / "samples"
VGG16 = "fcn8s-vgg16"


def load_network(
    config: ModelConfig,
    folder: Path,
    scale: Scale,
    precision: str,
    network: type[CudaNetwork] = CudaNetwork,
) -> CudaNetwork:
    """Load a model onto the device; raises DeviceError for a GPU that cannot be used."""
    if scale.device == "cuda":
        check_gpu(0, precision)
    return network(config, folder, Device(torch.device(scale.device, 0), precision, cpu_threads()))


def lite2(
    scale: Scale, precision: str | None = None, network: type[CudaNetwork] = CudaNetwork
) -> CudaNetwork:
    """Load the bundled model."""
    return load_network(load_config(MODEL), MODEL, scale, precision or scale.precision, network)


def vgg16(scale: Scale, folder: Path) -> CudaNetwork:
    """Load the paper's network with random weights, which are written into `folder`."""
    options = load_config(MODEL).model_dump(mode="json", exclude=set(OPTION_KEYS.values()))
    sizes = {"channels": scale.vgg_channels, "fc_channels": scale.vgg_fc_channels}
    config = ModelConfig.model_validate(options | {"architecture": VGG16, "vgg16": sizes})
    torch.manual_seed(0)
    weights = build_net(config).state_dict()
    plain = {name.removeprefix(BACKBONE): value.contiguous() for name, value in weights.items()}
    save_file(plain, folder / config.weights)
    return load_network(config, folder, scale, scale.precision)


def noise(network: CudaNetwork, canvas: Frame, images: int) -> Sequence[Pixels]:
    """Make photos that fill a canvas, in memory that the device copies from, as a worker's are."""
    (batch,) = network.canvas_batches([CanvasShape(canvas, [canvas] * images)])
    photo = photo_of(canvas)
    if batch is None:
        return [photo] * images
    for memory in batch:
        memory[...] = photo
    return batch


def limit_warm_up(scale: Scale) -> None:
    """Have this process's workers warm up as briefly as `scale` says."""
    LONGEST_S[scale.device] = scale.longest_warm_up_s
