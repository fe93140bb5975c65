"""Layer formulas agree with torch's own layers."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from handlers.net.exact.geometry import (
    Geometry,
    Placement,
    Transposed,
    UnknownLayerError,
    geometry_of,
)
from handlers.net.placement import crop_offset, placements_of

SPARE = 40  # rows of a canvas beyond the photo: more than any layer here reaches
EXTENTS = st.tuples(st.integers(1, 23), st.integers(1, 23))
seldom_tried = settings(derandomize=True, max_examples=60, database=None)

small = st.integers(1, 5)
pairs = st.tuples(small, small)


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Module:
    padding = draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    return nn.Conv2d(2, 2, draw(pairs), draw(pairs), padding, draw(pairs))


@st.composite
def poolings(draw: st.DrawFn) -> nn.Module:
    kernel, dilation = draw(small), draw(st.integers(1, 2))
    padding = draw(st.integers(0, kernel // 2))
    ceil_mode = draw(st.booleans())
    return nn.MaxPool2d(kernel, draw(small), padding, dilation, ceil_mode=ceil_mode)


@st.composite
def transposed(draw: st.DrawFn) -> nn.Module:
    kernel = draw(pairs)
    padding = tuple(draw(st.integers(0, side - 1)) for side in kernel)
    return nn.ConvTranspose2d(2, 2, kernel, draw(pairs), padding)  # type: ignore[arg-type]  # two


@st.composite
def margins(draw: st.DrawFn) -> nn.Module:
    side = st.integers(0, 5)
    return nn.ZeroPad2d((draw(side), draw(side), draw(side), draw(side)))


LAYERS = st.one_of(convolutions(), poolings(), transposed(), margins())


def measured(layer: nn.Module) -> Geometry:
    geometry = geometry_of(layer)
    return geometry or Geometry(PointAxis(), PointAxis())


class PointAxis:
    """A layer that reads each row by itself."""

    def placement(self, of_input: Placement) -> Placement:
        return of_input

    def out(self, extent: int) -> int:
        return extent

    reach = out


def apply(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a layer with positive weights, by which every row that is read counts."""
    for parameter in layer.parameters():
        parameter.data.fill_(0.5)
    with torch.inference_mode():
        y: Tensor = layer(x)
    return y


@seldom_tried
@given(LAYERS, EXTENTS)
def test_sizes_are_those_of_torch(layer: nn.Module, extents: tuple[int, int]) -> None:
    geometry = measured(layer)
    expected = (geometry.height.out(extents[0]), geometry.width.out(extents[1]))
    if min(expected) < 1:
        with pytest.raises(RuntimeError):
            layer(torch.zeros(1, 2, *extents))
    else:
        assert apply(layer, torch.zeros(1, 2, *extents)).shape[2:] == expected


@seldom_tried
@given(LAYERS, EXTENTS)
def test_no_row_beyond_the_reach_counts(layer: nn.Module, extents: tuple[int, int]) -> None:
    geometry = measured(layer)
    height, width = geometry.height.out(extents[0]), geometry.width.out(extents[1])
    assume(min(height, width) >= 1)
    x = torch.rand(1, 2, extents[0] + SPARE, extents[1] + SPARE)
    changed = x.clone()
    changed[:, :, max(geometry.height.reach(extents[0]), 0) :] += 1000
    changed[:, :, :, max(geometry.width.reach(extents[1]), 0) :] += 1000
    before, after = (apply(layer, each)[:, :, :height, :width] for each in (x, changed))
    assert torch.equal(before, after)


@seldom_tried
@given(LAYERS, st.integers(1, 23))
def test_the_last_row_in_reach_counts(layer: nn.Module, extent: int) -> None:
    assume(not isinstance(layer, nn.ConvTranspose2d) or layer.stride <= layer.kernel_size)
    geometry = measured(layer)
    width = 23  # enough for some kernel to lie on it
    height, last = geometry.height.out(extent), geometry.height.reach(extent) - 1
    assume(height >= 1 and last >= 0)
    x = torch.rand(1, 2, extent + SPARE, width + SPARE)
    changed = x.clone()
    changed[:, :, last] += 1000
    before, after = (apply(layer, each)[:, :, :height] for each in (x, changed))
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    ("layer", "origin", "stride"),
    [
        pytest.param(nn.Conv2d(2, 2, 3, 2, padding=1), 10, 8, id="same"),
        pytest.param(nn.Conv2d(2, 2, 3, padding=100), 10 - 99 * 4, 4, id="paper"),
        pytest.param(nn.Conv2d(2, 2, 3, dilation=2), 18, 4, id="holes"),
        pytest.param(nn.MaxPool2d(2), 12, 8, id="pooling"),
        pytest.param(nn.ConvTranspose2d(2, 2, 4, 2, 1), 9, 2, id="transposed"),
        pytest.param(nn.ZeroPad2d((0, 0, 3, 1)), -2, 4, id="margin"),
    ],
)
def test_points_lie_in_the_middle_of_what_they_read(
    layer: nn.Module, origin: float, stride: float
) -> None:
    assert measured(layer).height.placement(Placement(10, 4)) == Placement(origin, stride)


def test_placements_follow_a_network() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2, 2))
    assert placements_of(net) == [Placement(1.0, 4.0)]


def test_a_map_between_the_points_of_another_cannot_be_cut_out() -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        crop_offset(Placement(0.5, 2.0), Placement(0.0, 2.0))
    with pytest.raises(ValueError, match="cannot be cut"):
        crop_offset(Placement(0.0, 4.0), Placement(0.0, 2.0))
    assert crop_offset(Placement(6.0, 2.0), Placement(0.0, 2.0)) == 3
    assert Transposed(4, 2, 1).placement(Placement(0.5, 2.0)) == Placement(0.0, 1.0)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), id="reflecting"),
        pytest.param(nn.Conv2d(2, 2, 3, padding="same"), id="padding-in-words"),
        pytest.param(nn.ConvTranspose2d(2, 2, 3, 2, output_padding=1), id="output-padding"),
        pytest.param(nn.ConvTranspose2d(2, 2, 3, dilation=2), id="transposed-with-holes"),
        pytest.param(nn.ConvTranspose2d(2, 2, 3, padding=3), id="transposed-padding"),
        pytest.param(nn.MaxPool2d(2, return_indices=True), id="indices"),
    ],
)
def test_settings_without_a_formula_are_refused(layer: nn.Module) -> None:
    with pytest.raises(UnknownLayerError, match="here"):
        geometry_of(layer)


@pytest.mark.parametrize(
    "layer",
    [nn.AdaptiveAvgPool2d(1), nn.GroupNorm(1, 2), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten()],
    ids=lambda layer: type(layer).__name__,
)
def test_unknown_layers_are_refused_by_name(layer: nn.Module) -> None:
    with pytest.raises(UnknownLayerError, match=f"{type(layer).__name__}.*Conv2d.*geometry.py"):
        geometry_of(layer)


def test_a_kind_of_convolution_that_is_not_torchs_own_is_refused() -> None:
    class Standardised(nn.Conv2d):
        pass

    with pytest.raises(UnknownLayerError, match="Standardised"):
        geometry_of(Standardised(2, 2, 3))
