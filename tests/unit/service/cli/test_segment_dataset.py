"""Runs of `fcnserve segment --format`: one dataset a folder, complete after any number of runs."""

import asyncio
import io
import json
import signal
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from fcnserve_client.datasets import FORMATS
from service.cli.segment import segment
from service.cli.segment_run import Options, run
from service.client.dataset_plan import DatasetOptions, FormatName, plan_dataset
from service.client.done import DONE_FILE
from service.client.query import Query, Server
from tests.support.segment_server import CARD, FakeServer

SIZE = (6, 8)


@pytest.fixture(autouse=True)
def label_map(fake: FakeServer) -> None:
    """Let the server answer with a cat of 4 pixels, of the confidence 200."""
    labels = np.zeros(SIZE, np.uint8)
    labels[2:4, 3:5] = 1
    samples = np.dstack([labels, np.full(SIZE, 200, np.uint8)])
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    fake.body = file.getvalue()


async def _run(photos: list[str], out: Path, url: str, name: FormatName, **options: Any) -> int:
    dataset = DatasetOptions(name, options.pop("min_confidence", 0.0))
    plan = plan_dataset(photos, f"{out}", dataset)
    chosen = Options(2, dataset=dataset, **options)
    return await asyncio.to_thread(run, plan, Server(url), Query(dataset.output), chosen)


def _annotations(out: Path) -> Any:
    return json.loads((out / "annotations.json").read_text())


def test_the_command_has_the_formats_of_the_client() -> None:
    assert list(get_args(FormatName)) == list(FORMATS)


@pytest.mark.parametrize("name", get_args(FormatName))
async def test_a_format_asks_for_what_it_needs(
    name: FormatName, photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    assert await _run(photos, tmp_path / "out", url, name) == 0
    output = "confidence" if name == "coco" else "mask"
    assert {query["output"] for query in fake.queries} == {output}
    images = tmp_path / "out" / FORMATS[name].photos[0]
    assert sorted(each.read_bytes() for each in images.iterdir()) == [*map(str.encode, "abcdef")]
    assert DatasetOptions(name, 0.5).output == "confidence"


async def test_a_dataset_has_the_order_of_the_photos_and_not_those_that_failed(
    photos: list[str], tmp_path: Path, url: str
) -> None:
    out = tmp_path / "out"
    assert await _run(photos, out, url, "coco") == 0
    Path(photos[1]).write_bytes(b"broken")  # its part of the first run is there
    Path(photos[2]).unlink()
    assert await _run(photos, out, url, "coco") == 12
    read = _annotations(out)
    assert [each["file_name"] for each in read["images"]] == ["a.jpg", "d.jpg", "e.jpg", "f.jpg"]
    assert [each["image_id"] for each in read["annotations"]] == [1, 2, 3, 4]
    assert {each["score"] for each in read["annotations"]} == {round(200 / 255, 4)}
    assert read["info"]["description"].startswith("Predictions of fcn@0123456789abcdef")


async def test_photos_of_one_name_in_two_folders_do_not_meet(tmp_path: Path, url: str) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(folder.encode())
        (tmp_path / folder / "a.png").write_bytes(folder.encode() + b" png")
    folders = [str(tmp_path / folder) for folder in ("one", "two")]
    assert await _run(folders, tmp_path / "out", url, "voc") == 0
    names = sorted(each.name for each in (tmp_path / "out/masks").iterdir())
    assert names == [f"{folder}__a.{kind}.png" for folder in ("one", "two") for kind in _KINDS]
    images = {each.name: each.read_bytes() for each in (tmp_path / "out/images").iterdir()}
    assert images["two__a.png.png"] == b"two png"
    assert len(images) == 4


_KINDS = ("jpg", "png")


async def test_a_run_that_is_killed_is_gone_on_with_and_gives_the_same_dataset(
    tmp_path: Path, url: str, fake: FakeServer
) -> None:
    folder, out, fresh = tmp_path / "photos", tmp_path / "out", tmp_path / "fresh"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:03}.jpg").write_bytes(f"{number}".encode())
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    fake.stop_after = 15
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(folder), "-o", str(out), "--format", "coco"),
        *("--url", url, "--jobs", "2"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        await fake.stopped.wait()
    running.send_signal(signal.SIGKILL)
    await running.wait()
    assert not (out / "annotations.json").exists()
    recorded, sent = (out / DONE_FILE).read_bytes().count(b"\n"), len(fake.queries)
    fake.stop_after = None
    assert await _run([str(folder)], out, url, "coco", resume=True) == 0
    assert len(fake.queries) - sent == 40 - recorded < 40
    assert await _run([str(folder)], fresh, url, "coco") == 0
    files = (each / "annotations.json" for each in (out, fresh))
    one, other = (each.read_bytes() for each in files)
    assert one == other


@pytest.mark.parametrize(
    ("name", "min_confidence", "sent"), [("coco", 0.0, 0), ("coco", 0.9, 6), ("yolo", 0.0, 6)]
)
async def test_a_resumed_run_sends_all_where_the_dataset_is_another(
    name: FormatName,
    min_confidence: float,
    sent: int,
    photos: list[str],
    tmp_path: Path,
    url: str,
    fake: FakeServer,
) -> None:
    await _run(photos, tmp_path / "out", url, "coco")
    fake.queries.clear()
    options = {"resume": True, "min_confidence": min_confidence}
    assert await _run(photos, tmp_path / "out", url, name, **options) == 0
    assert len(fake.queries) == sent


async def test_an_answer_of_another_model_is_not_in_the_dataset(
    photos: list[str],
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(CARD, "digest", "first")  # the card that is read at the beginning
    plan = plan_dataset(photos, str(tmp_path / "out"), DatasetOptions("yolo"))
    options = Options(1, dataset=DatasetOptions("yolo"), jsonl=str(tmp_path / "results"))
    running = asyncio.to_thread(run, plan, Server(url), Query("mask"), options)
    task = asyncio.create_task(running)
    async with asyncio.timeout(60):
        while not (tmp_path / "out/data.yaml").exists():  # noqa: ASYNC110
            await asyncio.sleep(0)
    monkeypatch.setitem(CARD, "digest", "second")
    assert await task > 0
    assert "answers with fcn@second, and the dataset is of fcn@first" in capsys.readouterr().err
    written = len(list((tmp_path / "out/labels").glob("*.txt")))
    assert written < len(photos)


async def test_an_answer_that_is_no_label_map_fails_its_photo_alone(
    photos: list[str],
    tmp_path: Path,
    url: str,
    fake: FakeServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.body = b""
    assert await _run(photos, tmp_path / "out", url, "voc") == 1
    assert capsys.readouterr().err.count("cannot be decoded") == 6


async def test_a_dataset_that_cannot_be_finished_is_no_success(
    photos: list[str], tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out/annotations.json").mkdir(parents=True)
    assert await _run(photos, tmp_path / "out", url, "coco") == 1
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "coco", "-o", "-"], "a dataset is one"),
        (["--format", "coco", "-o", "{photo}"], "a dataset is one"),
        (["--format", "coco", "-o", "out", "--output", "mask"], "do not go with --format"),
        (["--format", "coco", "-o", "out", "--legend"], "do not go with --format"),
        (["-o", "out/", "--min-confidence", "0.5"], "give --format"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], message: str, photos: list[str]
) -> None:
    app = typer.Typer()
    app.command()(segment)
    given = [each.format(photo=photos[0]) for each in arguments]
    answer = CliRunner().invoke(app, [*photos[:1], *given], env={"COLUMNS": "200"})
    assert answer.exit_code == 2
    assert message in answer.stderr
