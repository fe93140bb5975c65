"""Pads maps to multiples of eight channels on a GPU: its matrix units read 16 bytes at a time, and
neither the three channels of photos nor 21 class scores are a multiple of that.

A network with masks in, one with wider layers out, whose additional weights are zeros: they add
zeros to sums, and compute channels that no layer uses. Called by `handlers.net.exact.rewrite`.
"""

from collections import Counter
from copy import deepcopy
from typing import NamedTuple

from torch import Tensor, fx, nn

from handlers.net.exact.fold import replace_layer
from handlers.net.exact.fuse import layer_of

PHOTO_CHANNELS = 3
# of numbers of 16 bits: 16 bytes
CHANNEL_MULTIPLE = 8
# where `pad_channels` notes in a canvas's node how many channels the network reads
CANVAS_CHANNELS = "canvas_channels"

Convolution = nn.Conv2d | nn.ConvTranspose2d


class Channels(NamedTuple):
    """Of a map: how many the plain network has, and how many with the padding."""

    plain: int
    padded: int


class KeepChannels(nn.Module):
    """Leaves the padding out: a view of the first `channels`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, maps: Tensor) -> Tensor:
        return maps[:, : self.channels]


def pad_channels(module: fx.GraphModule) -> None:
    """Pad the canvas and every convolution's output to multiples of eight channels, in place; the
    network's own output keeps its number.
    """
    ChannelPadding(module).pad()


class ChannelPadding:
    """One pass over a graph of layers."""

    def __init__(self, module: fx.GraphModule) -> None:
        self._module = module
        self._calls = Counter(node.target for node in module.graph.nodes)
        self._channels: dict[fx.Node, Channels] = {}

    def pad(self) -> None:
        canvas, _bounds, *nodes = list(self._module.graph.nodes)
        self._channels[canvas] = Channels(PHOTO_CHANNELS, rounded_up(PHOTO_CHANNELS))
        canvas.meta[CANVAS_CHANNELS] = self._channels[canvas].padded
        for node in nodes:
            if node.op == "call_module":
                self._channels[node] = self._through_layer(node, node.all_input_nodes[0])
            elif node.op == "call_function":
                self._channels[node] = self._through_function(node)
            else:  # the output
                self._keep(node, node.all_input_nodes[0])

    def _through_layer(self, node: fx.Node, maps: fx.Node) -> Channels:
        layer = layer_of(self._module, node)
        if isinstance(layer, Convolution):
            if self._calls[node.target] == 1 and layer.groups in (1, self._channels[maps].plain):
                return self._widen(node, layer, self._channels[maps].padded)
            self._keep(node, maps)
            return Channels(layer.out_channels, layer.out_channels)
        if isinstance(layer, nn.BatchNorm2d):  # one that could not be folded
            self._keep(node, maps)
            return Channels(layer.num_features, layer.num_features)
        return self._channels[maps]

    def _widen(self, node: fx.Node, layer: Convolution, channels_in: int) -> Channels:
        """Widen a convolution that mixes all channels, or that keeps all apart."""
        multiplier = layer.out_channels // layer.in_channels  # outputs of each, where kept apart
        apart = layer.groups > 1
        out = channels_in * multiplier if apart else rounded_up(layer.out_channels)
        if (channels_in, out) != (layer.in_channels, layer.out_channels):
            replace_layer(self._module, node, widened(layer, channels_in, out))
        return Channels(layer.out_channels, out)

    def _through_function(self, node: fx.Node) -> Channels:
        """Pad the result as the maps are, or not where they differ."""
        maps = node.all_input_nodes
        if len({self._channels[each] for each in maps}) == 1:
            return self._channels[maps[0]]
        for each in maps:
            self._keep(node, each)
        plain = max(self._channels[each].plain for each in maps)
        return Channels(plain, plain)

    def _keep(self, node: fx.Node, maps: fx.Node) -> None:
        """Have `node` read the channels of the plain network."""
        plain, padded = self._channels[maps]
        if plain == padded:
            return
        name = f"keep_{node.name}_{maps.name}"
        self._module.add_submodule(name, KeepChannels(plain))
        with self._module.graph.inserting_before(node):
            node.replace_input_with(maps, self._module.graph.call_module(name, (maps,)))


def widened(layer: Convolution, channels_in: int, channels_out: int) -> Convolution:
    """Copy a layer, and pad its weights with zeros."""
    apart = layer.groups > 1
    sides = (channels_out, 1 if apart else channels_in)
    if isinstance(layer, nn.ConvTranspose2d):
        sides = (channels_in, channels_out // channels_in if apart else channels_out)
    wide = deepcopy(layer)
    wide.in_channels, wide.out_channels = channels_in, channels_out
    wide.groups = channels_in if apart else 1
    wide.weight = nn.Parameter(zero_padded(layer.weight, *sides), requires_grad=False)
    if layer.bias is not None:
        wide.bias = nn.Parameter(zero_padded(layer.bias, channels_out), requires_grad=False)
    return wide


def zero_padded(numbers: Tensor, *sides: int) -> Tensor:
    """Bring the first dimensions to `sides`."""
    padded = numbers.new_zeros((*sides, *numbers.shape[len(sides) :]))
    padded[tuple(map(slice, numbers.shape))] = numbers.detach()
    return padded


def rounded_up(channels: int) -> int:
    return -(-channels // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE
