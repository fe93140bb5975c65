"""The tables, commands and links of README.md and docs/ agree with the code."""

import os
import re
import shlex
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

import service.errors  # noqa: F401 - defines the subclasses of ProblemError
from handlers.shared.errors import ProblemError
from service.auth.keys_file import READ_INTERVAL_S, STALE_AFTER_S
from service.cli.main import app
from service.inference_address import InferenceAddress
from service.metrics.gateway import Metrics
from service.pipeline.query import SegmentQuery
from service.render import Output
from service.settings import Settings
from service.worker.gpu_metrics import GPU_GAUGES
from service.worker.liveness import LivenessProbe
from service.worker.process_metrics import WorkerCollector, WorkerProcesses
from tests.support.pages import PAGES, rows

ROOT = Path(__file__).parents[3]


def test_the_table_of_codes_lists_every_problem() -> None:
    written = {(row[0].strip("`"), int(row[1])) for row in rows("code")}
    assert written == {(kind.code, kind.status) for kind in ProblemError.__subclasses__()}


def test_the_table_of_settings_lists_each_with_its_default_and_description() -> None:
    written = {row[0].strip("`"): (row[1].strip("`"), row[2]) for row in rows("variable")}
    expected = {}
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple | frozenset):
            default = ",".join(sorted(default))
        if isinstance(default, Path):
            default = default.name
        expected[f"FCNSERVE_{name.upper()}"] = (str(default), field.description)
    assert written == expected


def test_the_table_of_metrics_equals_a_scrape() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    expected = {
        metric.name + ("_total" if metric.type == "counter" else ""): (
            metric.type,
            metric.documentation,
        )
        for metric in registry.collect()
    }
    assert {row[0].strip("`"): (row[1], row[2]) for row in rows("metric")} == expected


def test_the_table_of_worker_metrics_equals_a_scrape() -> None:
    registry = CollectorRegistry()
    registry.register(
        WorkerCollector(
            WorkerProcesses(os.getpid()), 1, LivenessProbe(InferenceAddress("", 0), ["any"], 1)
        )
    )
    found = [(each.name, each.type, each.documentation) for each in registry.collect()]
    found += [(each.name, "gauge", each.documentation) for each in GPU_GAUGES]
    expected = {
        name + ("_total" if kind == "counter" else ""): (kind, documentation)
        for name, kind, documentation in found
    }
    assert {row[0].strip("`"): (row[1], row[2]) for row in rows("worker metric")} == expected


def test_the_table_of_options_equals_the_query_parameters() -> None:
    assert {row[0].strip("`") for row in rows("parameter")} == set(SegmentQuery.model_fields)


def test_the_table_of_outputs_lists_every_output() -> None:
    assert [row[0].strip("`") for row in rows("output")] == [
        *("mask", "labels", "confidence", "overlay", "rle", "polygons", "summary")
    ]
    assert {row[0].strip("`") for row in rows("output")} == set(Output)


TEXT = "\n".join(page.read_text() for page in PAGES)
COMMANDS = re.findall(r"^\.venv/bin/fcnserve (.*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_has_only_options_that_exist(command: str) -> None:
    name, *arguments = shlex.split(command)
    names = [name, arguments[0]] if name == "model" else [name]
    help_text = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"}).output
    for argument in arguments:
        if argument.startswith("-"):
            assert argument in help_text


LINKING = [
    *PAGES,
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "loadtest").rglob("*.md")),
    *sorted((ROOT / "model_store").glob("*/*.md")),
    *sorted((ROOT / "service").rglob("*.md")),
    ROOT / "client/README.md",
    ROOT / "examples/README.md",
]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


TRAINING = (ROOT / "docs" / "training.md").read_text()
MODEL_COMMANDS = re.findall(r"^fcnserve (model .*)$", TRAINING, re.MULTILINE)


@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_a_command_of_the_training_page_has_only_options_that_exist(command: str) -> None:
    group, name, *arguments = shlex.split(command)
    help_page = CliRunner().invoke(app, [group, name, "--help"], env={"COLUMNS": "200"})
    assert help_page.exit_code == 0
    for argument in arguments:
        if argument.startswith("-"):
            assert argument in help_page.output


def test_the_docs_state_how_long_a_removed_key_stays_valid() -> None:
    most_s = f"{2 * READ_INTERVAL_S + STALE_AFTER_S:.0f}"  # the file is read within two periods
    assert f"no key is valid after {most_s} seconds" in TEXT
    assert f"({most_s} where the file system hangs" in TEXT


def test_each_curl_that_sends_a_photo_as_its_body_names_its_type() -> None:
    """Without a header, curl declares a form, which the gateway refuses."""
    commands = [shlex.split(line) for line in TEXT.splitlines() if line.startswith("curl ")]
    bodies = [command for command in commands if "--data-binary" in command]
    assert len(bodies) >= 2
    assert all("Content-Type: image/jpeg" in command for command in bodies)
