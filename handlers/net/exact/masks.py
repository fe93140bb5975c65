"""Blanking on a GPU: tensors blank what lies outside a photo, so that a pass can be recorded once
and replayed for photos of other sizes (CUDA graphs).

A processor blanks strips (`handlers.net.exact.strips`), which costs it less. On a GPU a mask costs
next to nothing where it is computed together with the activation before it: the map is read and
written once in any case. Put into a network by `handlers.net.exact.rewrite`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from handlers.net.exact.extents import Extents, Size
from handlers.net.exact.fuse import layer_of
from handlers.net.exact.geometry import pair

# the largest value of each activation that a mask can be computed with; the least is zero
TOPS: Mapping[type[nn.Module | None], float] = {nn.ReLU: float("inf"), nn.ReLU6: 6.0}


class Mask(nn.Module):
    """Blanks all that is outside of each photo's map."""

    def __init__(self, strip: int, value: float, *, inplace: bool) -> None:
        super().__init__()
        self.strip, self.value, self.inplace = strip, value, inplace

    def forward(self, maps: Tensor, outsides: Mapping[int, Tensor]) -> Tensor:
        """Blank (N, C, H, W) maps; `outsides` are (N, 1, H, W) bool, by strip."""
        if self.inplace:
            return maps.masked_fill_(outsides[self.strip], self.value)
        return maps.masked_fill(outsides[self.strip], self.value)


class MaskedActivation(nn.Module):
    """Clamps to 0 and `top` inside of each photo's map, and to 0 and 0 outside, in place."""

    def __init__(self, strip: int, top: float) -> None:
        super().__init__()
        self.strip, self.top = strip, top
        self.register_buffer("_zero", torch.zeros(()))

    def forward(self, maps: Tensor, limits: Mapping[int, Tensor]) -> Tensor:
        """Activate (N, C, H, W) maps; `limits` are (N, 1, H, W) in their precision, by strip."""
        limit = limits[self.strip]
        if maps.dtype == torch.float16:  # may overflow, and a clamp keeps NaN outside of the photo
            return maps.clamp_(0, self.top).masked_fill_(limit == 0, 0)
        return maps.clamp_(self.get_buffer("_zero"), limit)


class Masks:
    """Makes the masks of a pass, few at a time: those of one size together."""

    def __init__(self, module: nn.Module, extents: Sequence[Extents]) -> None:
        """Take a network with masks in it, and the extents of each strip's map."""
        self._extents = extents
        self._tops: dict[int, float | None] = {}  # by strip; None where there is no activation
        for layer in module.modules():
            if isinstance(layer, (Mask, MaskedActivation)):
                self._tops[layer.strip] = getattr(layer, "top", None)

    def of(self, canvas: Tensor, ends: Tensor) -> dict[int, Tensor]:
        """Make the tensor of each strip's layer: where it is outside, or its limits.

        `ends` (strips, N, 2) int32 has each photo's rows and columns in each strip's map, for
        photos in the top-left corners of `canvas` (N, 3, H, W).
        """
        alike: dict[tuple[Size, float | None], list[int]] = defaultdict(list)
        for strip, top in self._tops.items():
            size = self._extents[strip].of((canvas.shape[2], canvas.shape[3]))
            alike[size, top].append(strip)
        masks: dict[int, Tensor] = {}
        for (size, top), strips in alike.items():
            some = outside(torch.stack([ends[strip] for strip in strips]), size)
            if top is not None:
                some = torch.full_like(some, top, dtype=canvas.dtype).masked_fill_(some, 0)
            masks |= dict(zip(strips, some, strict=True))
        return masks


def outside(ends: Tensor, size: Size) -> Tensor:
    """Mark the points of maps of `size` that are not a photo's: (strips, N, 1, H, W) bool."""
    rows, columns = (torch.arange(side, device=ends.device, dtype=ends.dtype) for side in size)
    below = rows >= ends[..., :1]  # (strips, N, H)
    beside = columns >= ends[..., 1:]  # (strips, N, W)
    return (below[..., :, None] | beside[..., None, :])[:, :, None]


def fuse_masks(module: fx.GraphModule) -> None:
    """Merge each mask with the activation before it, where no other layer reads that one's input,
    and leave out the masks of maps that are blank there already; in place.
    """
    calls = Counter(node.target for node in module.graph.nodes)
    for node in list(module.graph.nodes):
        mask = layer_of(module, node)
        if not isinstance(mask, Mask):
            continue
        before, outsides = behind(module, node.args[0], nn.Identity), node.args[1]
        activation = layer_of(module, before)
        top = TOPS.get(type(activation))
        # no pooling window is all outside, so beside values above zero zeros change no maximum
        is_positive = top is not None or isinstance(activation, MaskedActivation)
        if mask.value != 0 and not is_positive:
            continue
        if mask.inplace and top is not None and calls[before.target] == 1:
            fused = MaskedActivation(mask.strip, top)
            module.set_submodule(str(before.target), fused)
            before.args = (*before.args, outsides)
        elif not is_blank(module, before):
            continue
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
        module.delete_submodule(str(node.target))


def behind(module: fx.GraphModule, node: fx.Node, *passed: type[nn.Module]) -> fx.Node:
    """Return the node that computes a map, skipping layers of the `passed` types."""
    while isinstance(layer_of(module, node), passed):
        node = node.all_input_nodes[0]
    return node


def is_blank(module: fx.GraphModule, node: fx.Node) -> bool:
    """Check whether a map is zero all around each photo, as canvases are; margins keep it so."""
    source = behind(module, node, nn.Identity, nn.ZeroPad2d)
    layer = layer_of(module, source)
    if source.op == "placeholder":
        return True
    if isinstance(layer, nn.MaxPool2d) and has_windows_of_its_own(layer):
        return is_blank(module, source.all_input_nodes[0])
    return isinstance(layer, MaskedActivation) or (isinstance(layer, Mask) and layer.value == 0)


def has_windows_of_its_own(pool: nn.MaxPool2d) -> bool:
    """Check whether each point of a photo's map is in one window, and that one in the photo's own
    pooled map: windows beyond it then have zeros alone.
    """
    sizes = (pair(pool.kernel_size), pair(pool.stride), pair(pool.padding), pair(pool.dilation))
    kernel, stride, padding, dilation = sizes
    return pool.ceil_mode and kernel == stride and padding == (0, 0) and dilation == (1, 1)
