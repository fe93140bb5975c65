"""An FCN of the PyTorch port of the paper's code in, the same network with our names out.

Called by `model_store.tools.convert.layouts`, and for caffe's own files by
`model_store.tools.convert.caffe.read`.
"""

from dataclasses import replace

from handlers.model_config import Normalisation
from handlers.net.options import Upsampling
from model_store.tools.convert.architecture import ConvertOptions, SourceNetwork, check_shapes
from model_store.tools.convert.fcn_layers import class_count, stride_of, vgg_options
from model_store.tools.convert.kernels import simplify
from model_store.tools.convert.state_dict import Tensors

# the published FCNs subtract this mean of ImageNet's photos; here in RGB order
CAFFE = Normalisation(mean=(122.67891434, 116.66876762, 104.00698793), std=(1, 1, 1))
# the port's FCN8sAtOnce scales pooled features by this before it scores them
AT_ONCE = {"score_pool4.weight": 0.01, "score_pool3.weight": 0.0001}


def read_published_fcn(
    state: Tensors, options: ConvertOptions, origin: str = "the PyTorch port's"
) -> SourceNetwork:
    """Read the paper's geometry, BGR values and dense kernels; raises CheckpointError."""
    stride = stride_of(state)
    names = {name: name for name in state}
    network = SourceNetwork(
        f"{origin} FCN{stride}s",
        f"fcn{stride}s-vgg16",
        class_count(state),
        vgg_options(state, names, replace(options, same_padding=False)),
        Upsampling(between="dense", last="dense"),
        CAFFE,
    )
    check_shapes(network.description, state, network.shapes())
    upsampling, weights = simplify(state)
    weights["conv1_1.weight"] = weights["conv1_1.weight"].flip(1)  # BGR to RGB
    if options.at_once:
        weights |= {
            name: weights[name] * scale for name, scale in AT_ONCE.items() if name in weights
        }
    return replace(network, upsampling=upsampling, weights=weights)
