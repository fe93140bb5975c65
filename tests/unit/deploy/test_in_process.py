"""`fcnserve.load`: the worker's own masks in this process, and errors in a line."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.wheel import load
from deploy.wheel.in_process import LoadedModel, threads_of_worker
from fcnserve_client.problems import BrokenImageError, InvalidOptionError
from handlers.job import Job
from handlers.shared import processors
from handlers.shared.wire import WorkerOptions
from model_store.tools.archive.model_folder import ModelFolderError
from service.render import Legend, Output, RenderOptions, render
from service.settings import Settings
from tests.support.server import CAT
from tests.support.worker import MODEL, network, pipeline

CAT_CLASS = 8
FOREIGN_MODULE = """
module = sys.modules["handlers"] = types.ModuleType("handlers")
module.__file__ = "/home/me/handlers.py"
"""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load(MODEL, device="cpu", threads=2)


def test_a_containers_limit_counts_as_it_does_for_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The digest has the number of threads: two workers would have a processor each."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    monkeypatch.setattr(processors, "limit_of_time", lambda: 2.0)
    assert threads_of_worker(Settings()) == 1


def test_a_result_has_the_workers_bytes(model: LoadedModel) -> None:
    found = model.segment(CAT)
    worker = pipeline(network(model.model.card["precision"]))
    (answer,) = worker.run([Job(CAT.read_bytes(), WorkerOptions(output="confidence"))])
    assert found.png == answer.body
    assert found.classes["cat"].share > 0.5
    assert found.confidence.shape == found.labels.shape == found.size
    assert found.model.classes[CAT_CLASS] == "cat"
    assert {"decode", "forward", "encode"} <= found.timing.keys()


def test_filters_are_those_of_the_gateway(model: LoadedModel) -> None:
    unfiltered = model.segment(CAT, confidence=False)
    filtered = model.segment(CAT, classes=["cat"], min_area=500, confidence=False)
    options = RenderOptions(Output.mask, frozenset({CAT_CLASS}), 500)
    palette = bytes(channel for colour in model.model.palette for channel in colour)
    legend = Legend(model.model.classes, palette, model.model.background_id)
    assert filtered.png == render(unfiltered.png, b"", options, legend).body
    assert filtered.levels is None


def test_every_form_of_a_photo_has_the_same_labels(model: LoadedModel) -> None:
    with Image.open(CAT) as image:
        image.load()
    png = io.BytesIO()
    image.save(png, "PNG")
    forms = (png.getvalue(), io.BytesIO(png.getvalue()), image, np.asarray(image))
    first, *others = (model.segment(form, max_side=64).labels for form in forms)
    for each in others:
        np.testing.assert_array_equal(each, first)


def test_an_option_that_is_none_is_the_default_as_for_the_client(model: LoadedModel) -> None:
    named = model.segment(CAT, max_side=64, min_area=0, orientation="exif", classes=None)
    none = model.segment(CAT, max_side=64, min_area=None, orientation=None)
    assert none.png == named.png


def test_wrong_photos_and_options_raise_what_the_api_answers(model: LoadedModel) -> None:
    with pytest.raises(BrokenImageError):
        model.segment(CAT.read_bytes()[:5000])
    for options in ({"classes": ["wolpertinger"]}, {"max_side": 16}, {"max_side": 4096}):
        with pytest.raises(InvalidOptionError):
            model.segment(CAT, **options)


def test_a_folder_is_loaded_and_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"no model 'fcn9'; it has .*fcn8s-lite2"):
        load("fcn9")
    with pytest.raises(ModelFolderError, match=r"model\.yaml: a model is a folder that holds one"):
        load(tmp_path)
    with pytest.raises(ValueError, match="device tpu is no device"):
        load(MODEL, device="tpu")


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("sys.modules['torch'] = None", "ModuleNotFoundError: torch is not installed; run `"),
        (FOREIGN_MODULE, "ImportError: /home/me/handlers.py is loaded as 'handlers', a name that"),
    ],
    ids=["without torch", "a module of the same name"],
)
def test_what_hinders_loading_is_reported_in_a_line(
    tmp_path: Path, before: str, message: str
) -> None:
    code = f"import sys, types\n{before}\nimport fcnserve\nfcnserve.load()"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1].startswith(message), ran.stderr
