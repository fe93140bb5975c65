"""The network computes what its definition says: `tests.support.reference` has the definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from handlers.model_config import load_config
from handlers.net.exact.layers import onednn_computes
from handlers.net.options import Upsampling
from handlers.runtime.network import Network
from handlers.runtime.upsample.processor import ScoreGrid
from handlers.runtime.weights import WeightsError, load_net
from tests.support.reference import frame as framed
from tests.support.reference import reference_labels, reference_scores
from tests.support.worker import MODEL, WEIGHTS, Pixels, network, noise, sample, write_model

# of the largest score: two fp32 implementations that sum in another order, batch-norm folded in one
FP32_TOLERANCE = 2e-5
FP32_AGREEMENT, BF16_AGREEMENT = 0.999, 0.985

PHOTOS = [
    *(pytest.param(noise(size), id="{}x{}".format(*size)) for size in [(1, 1), (32, 64), (61, 83)]),
    pytest.param(noise((1, 700)), id="1x700"),
    pytest.param(sample("cat"), id="cat"),
    pytest.param(sample("astronaut")[:333, :250], id="astronaut-crop"),
]
needs_fast_bf16 = pytest.mark.skipif(
    not onednn_computes(torch.bfloat16), reason="bf16 takes seconds a photo on this processor"
)
each_photo = pytest.mark.parametrize("photo", PHOTOS)


@pytest.fixture(scope="module")
def fp32() -> Network:
    return network("fp32")


@pytest.fixture(scope="module")
def bf16() -> Network:
    return network("bf16")


def score(net: Network, *photos: Pixels) -> list[Tensor]:
    return net.scores(photos, net.frame(photos[0].shape[:2]))


def label(net: Network, photo: Pixels) -> Pixels:
    size = (photo.shape[0], photo.shape[1])
    grid = ScoreGrid(score(net, photo)[0], net.score_placement, size, size)
    pixels: Pixels = grid.labels().numpy()
    return pixels


def assert_close(scores: Tensor, expected: Tensor) -> None:
    tolerance = FP32_TOLERANCE * expected.abs().max().item()
    torch.testing.assert_close(scores, expected, rtol=0, atol=tolerance)


@each_photo
def test_folded_scores_are_the_references(fp32: Network, photo: Pixels) -> None:
    assert_close(score(fp32, photo)[0], reference_scores(photo, WEIGHTS))


@each_photo
@torch.inference_mode()
def test_unfolded_scores_are_the_references(photo: Pixels) -> None:
    net = load_net(load_config(MODEL), WEIGHTS)
    assert_close(net(framed(photo))[0], reference_scores(photo, WEIGHTS))


@each_photo
def test_fp32_labels_are_the_references(fp32: Network, photo: Pixels) -> None:
    agreement = (label(fp32, photo) == reference_labels(photo, WEIGHTS)).mean()
    assert agreement >= FP32_AGREEMENT


def test_bf16_labels_agree_with_the_references_on_a_real_photo(bf16: Network) -> None:
    photo = sample("cat")
    assert (label(bf16, photo) == reference_labels(photo, WEIGHTS)).mean() >= BF16_AGREEMENT


@pytest.mark.parametrize("size", [(1, 1), (61, 83), (96, 128), (256, 256)], ids=str)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_fast_bf16)])
def test_a_photo_scores_the_same_bits_in_a_single_pass_and_in_a_group(
    request: pytest.FixtureRequest, precision: str, size: tuple[int, int]
) -> None:
    net: Network = request.getfixturevalue(precision)
    photos = [noise(size, seed) for seed in range(4)]
    for photo, scores in zip(photos, score(net, *photos), strict=True):
        assert torch.equal(scores, score(net, photo)[0])


def test_a_photo_is_not_changed_and_may_be_read_only(fp32: Network) -> None:
    photo = noise((40, 50))
    kept = photo.copy()
    photo.setflags(write=False)
    assert torch.equal(score(fp32, photo)[0], score(fp32, kept)[0])
    np.testing.assert_array_equal(photo, kept)


def test_photos_of_one_frame_may_differ_in_size(fp32: Network) -> None:
    photos = [noise((33, 40)), noise((64, 64))]
    for photo, scores in zip(photos, score(fp32, *photos), strict=True):
        assert_close(scores, reference_scores(photo, WEIGHTS))


def changed_weights(folder: Path, change: str) -> Path:
    state = load_file(WEIGHTS)
    if change == "missing":
        del state["stem.weight"]
    elif change == "unexpected":
        state["fc6.weight"] = torch.zeros(1)
    else:
        state["score_fr.weight"] = torch.zeros(20, 1280, 1, 1)
    save_file(state, folder / WEIGHTS.name)
    return folder / WEIGHTS.name


@pytest.mark.parametrize(
    ("change", "key"),
    [
        pytest.param("missing", "stem.weight", id="missing"),
        pytest.param("unexpected", "fc6.weight", id="unexpected"),
        pytest.param("other-size", "score_fr.weight", id="other-size"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, change: str, key: str) -> None:
    with pytest.raises(WeightsError, match=rf"(?s)weights\.safetensors.*['\s]{key}"):
        load_net(load_config(MODEL), changed_weights(tmp_path, change))


def test_learned_kernels_must_be_in_the_file_and_fixed_ones_need_not() -> None:
    fixed = load_config(MODEL)
    assert "upscore2.weight" not in load_file(WEIGHTS)
    load_net(fixed, WEIGHTS)
    learned = fixed.model_copy(update={"upsampling": Upsampling(between="per_class")})
    with pytest.raises(
        WeightsError, match=r"missing \['upscore2\.weight', 'upscore_pool4\.weight'\]"
    ):
        load_net(learned, WEIGHTS)


def test_a_file_that_is_no_safetensors_is_a_weights_error(tmp_path: Path) -> None:
    folder = write_model(tmp_path, weights=b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(WeightsError, match=r"weights\.safetensors is no safetensors file"):
        load_net(load_config(folder), folder / WEIGHTS.name)
