"""`fcnserve model evaluate`: a folder and a server give the same figures; reports and pictures."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from handlers.model_config import ModelConfig
from handlers.net import ARCHITECTURES
from handlers.shared import photo
from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import Labels, Legend
from model_store.tools.dataset.pairs import Pair, find_pairs
from model_store.tools.dataset.toy import CLASSES, draw_data_set
from model_store.tools.evaluate.counting import count, encoded
from model_store.tools.evaluate.predict import in_process
from model_store.tools.evaluate.report import Subject
from model_store.tools.evaluate.run import evaluate
from model_store.tools.weights.write import file_tensors, write_model
from service.cli.main import app
from tests.support.toys import randomised

CONFIG = ModelConfig(
    name="discs",
    architecture="fcn32s-lite0",
    classes=CLASSES,
    palette=((0, 0, 0), (255, 255, 0)),
    working_max_side=256,
)
LEGEND = Legend.of(CONFIG)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw_data_set(tmp_path / "discs", photos=3)
    return tmp_path / "discs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(
        tmp_path / "model", CONFIG, randomised(ARCHITECTURES["fcn32s-lite0"](2)).state_dict()
    )
    return tmp_path / "model"


def perfect(pairs: list[Pair], sizes: list[tuple[int, ...]] | None = None) -> object:
    """Make a predictor that returns the masks, and records the sizes of the photos."""

    def predict(bodies: Iterable[bytes]) -> Iterator[Labels]:
        for pair, body in zip(pairs, bodies, strict=True):
            header = photo.read_header(body)
            if sizes is not None:
                sizes.append((header.height, header.width))
            with Image.open(pair.mask) as mask:
                resized = mask.resize((header.width, header.height), Image.Resampling.NEAREST)
                yield np.asarray(resized)

    return predict


def test_a_perfect_predictor_scores_one_at_every_size(data: Path, tmp_path: Path) -> None:
    pairs = find_pairs(data)
    sizes: list[tuple[int, ...]] = []
    subject = Subject(LEGEND, "1.0", "here", "discs")
    found = evaluate(pairs, subject, perfect(pairs, sizes), [1, 2, 8], tmp_path / "out")  # type: ignore[arg-type]  # an object
    assert {times: each.mean_iou.value for times, each in found.items()} == {1: 1, 2: 1, 8: 1}
    assert sizes == [(192, 256)] * 3 + [(384, 512)] * 3 + [(1536, 2048)] * 3


def test_at_its_own_size_a_photo_is_sent_unchanged(data: Path) -> None:
    (pair, *_) = find_pairs(data)
    assert encoded(pair, 1) == pair.photo.read_bytes()
    enlarged = photo.decode(large := encoded(pair, 2), photo.read_header(large))
    assert enlarged.shape == (384, 512, 3)


def test_labels_of_another_size_are_rejected(data: Path) -> None:
    pairs = find_pairs(data)
    too_small = lambda bodies: (np.zeros((9, 9), np.uint8) for _ in bodies)  # noqa: E731
    with pytest.raises(DataError, match="a mask has its photo's size"):
        list(count(pairs, LEGEND, too_small))


def test_the_report_has_every_figure_with_its_interval(data: Path, tmp_path: Path) -> None:
    pairs = find_pairs(data)
    subject = Subject(LEGEND, "1.0", "here", "discs")
    evaluate(pairs, subject, perfect(pairs), [1, 2], tmp_path)  # type: ignore[arg-type]  # an object
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["photos"] == 3
    assert report["sizes"]["2x"]["mean_iou"] == {"value": 1, "low": 1, "high": 1}
    assert report["sizes"]["1x"]["common_mean_iou"]["value"] is None  # too few photos
    assert report["sizes"]["1x"]["classes"]["disc"] == {"photos": 3, "accuracy": 1, "iou": 1}
    table = (tmp_path / "evaluation.md").read_text()
    assert "| mean IoU | 1.000 (1.000-1.000) | 1.000 (1.000-1.000) |" in table
    assert "| disc | 3 | 1.000 | 1.000 | 1.000 | 1.000 |" in table


def test_the_sheet_shows_truth_and_prediction_in_the_models_colours(
    data: Path, tmp_path: Path
) -> None:
    pairs = find_pairs(data)
    evaluate(pairs, Subject(LEGEND, "1", "", ""), perfect(pairs), [1], tmp_path)  # type: ignore[arg-type]  # an object
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    yellow = (abs(sheet - (255, 255, 0)).sum(2) < 30).sum(0)  # by column
    truth, predicted = yellow[200:400].sum(), yellow[400:600].sum()
    assert truth == predicted > 0
    with Image.open(tmp_path / "confusion.png") as matrix:
        assert min(matrix.size) > 100


class FakeService:
    """Gives the service's answers, with the model in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._predict = in_process(folder)
        self.keys: set[str | None] = set()

    async def segment(self, request: web.Request) -> web.Response:
        assert request.query["output"] == "mask"
        self.keys.add(request.headers.get("Authorization"))
        (labels,) = self._predict([await request.read()])
        buffer = io.BytesIO()
        Image.fromarray(labels).save(buffer, "PNG")
        headers = {"X-Model": "discs@d"}
        return web.Response(body=buffer.getvalue(), content_type="image/png", headers=headers)

    async def cards(self, request: web.Request) -> web.Response:
        palette = [list(colour) for colour in CONFIG.palette]
        card: dict[str, Any] = {
            "name": "discs",
            "version": "1.0",
            "digest": "d",
            "classes": CLASSES,
        }
        card |= {"palette": palette}
        return web.json_response(card if request.path.endswith("/discs") else [card])


@asynccontextmanager
async def serving(service: FakeService) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/v1/segment", service.segment)
    application.router.add_get("/v1/models", service.cards)
    application.router.add_get("/v1/models/discs", service.cards)
    async with TestServer(application) as server:
        yield str(server.make_url("/"))


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["model", "evaluate", *arguments])
    return result.exit_code, result.output


async def test_a_server_has_the_scores_of_the_folder_that_it_serves(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    service = FakeService(folder)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    code, output = await run(str(folder), "--data", str(data), "--size", "2", "-o", str(ours))
    assert code == 0, output
    async with serving(service) as url:
        options = ("--server", url, "--model", "discs", "--key", "k", "--size", "2")
        code, output = await run(*options, "--data", str(data), "-o", str(theirs))
    assert code == 0, output
    assert "# discs 1.0 (d) on 3 photos" in output
    assert service.keys == {"Bearer k"}
    assert np.array_equal(np.load(ours / "counts.npy"), np.load(theirs / "counts.npy"))


async def test_a_server_may_be_named_by_the_environment(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--data", str(data), "-o", str(tmp_path / "out"))
    async with serving(FakeService(folder)) as url:
        monkeypatch.setenv("FCNSERVE_URL", url)
        code, output = await run(*out, "--model", "discs")
        assert (code, "through http" in output) == (0, True), output
        code, output = await run(str(folder), *out)  # a named folder precedes the environment
        assert (code, "through cpu" in output) == (0, True), output


async def test_a_model_that_the_server_lacks_is_reported_in_a_line(
    data: Path, folder: Path
) -> None:
    async with serving(FakeService(folder)) as url:
        code, output = await run("--server", url, "--model", "other", "--data", str(data))
    assert (code, output.count("\n")) == (1, 1)
    assert "the server has no model 'other'; it has discs" in output


async def test_an_absent_server_is_reported_in_a_line(data: Path) -> None:
    code, output = await run("--server", "http://127.0.0.1:9", "--data", str(data))
    assert (code, output.count("\n")) == (1, 1)
    assert "no fcnserve answers at http://127.0.0.1:9" in output


async def test_wrong_data_and_wrong_weights_are_reported_in_a_line(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    net = ARCHITECTURES["fcn32s-lite0"](3)
    save_file(file_tensors(net.state_dict(), CONFIG), folder / "weights.safetensors")
    code, output = await run(str(folder), "--data", str(data), "-o", str(tmp_path / "out"))
    assert code == 1
    assert "size mismatch for score_fr" in output
    code, output = await run(str(folder), "--data", str(tmp_path / "nowhere"))
    assert code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            *(("--device", "cuda"), "device cuda: torch has no such device here"),
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
        (("--device", "foo"), "device foo is no device; use cpu"),
        (("--against", "nowhere"), "nowhere holds no evaluation"),
    ],
)
async def test_invalid_options_are_reported_before_anything_is_scored(
    data: Path, folder: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "out"
    code, output = await run(str(folder), "--data", str(data), "-o", str(out), *options)
    assert (code, output.count("\n")) == (1, 1)
    assert message in output
    assert not out.exists()


@pytest.mark.parametrize("arguments", [("--data", "d"), ("f", "--data", "d", "--server", "s")])
async def test_a_folder_and_a_server_exclude_each_other(arguments: tuple[str, ...]) -> None:
    code, output = await run(*arguments)
    assert code == 2
    assert "name a model's folder, or a --server" in output
