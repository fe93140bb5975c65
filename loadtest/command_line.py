"""Defaults and helpers that the commands of all rooms share: model, folders, environment, progress.

Imported by the `run` modules before torch is loaded, so it imports nothing of `handlers`.
"""

import os
from collections.abc import Sequence
from enum import StrEnum

import typer

from service.settings import ROOT
from service.worker.command import ONEDNN_PRIMITIVES

# ignored by git; recorded results are in loadtest/results
RESULTS = ROOT / "build" / "results"
SAMPLES = ROOT / "service" / "samples"
MODEL = ROOT / "model_store" / "fcn8s-lite2"


class SetName(StrEnum):
    """Size sets of photos; see `loadtest.traffic.corpus`."""

    one = "one"
    mix = "mix"
    adversarial = "adversarial"


def prepare_environment(device: str, threads: int) -> None:
    """Set this process's environment as a worker's, without other settings of the service.

    To be called before torch is imported: oneDNN and CUDA read the environment once.
    """
    for name in [name for name in os.environ if name.startswith("FCNSERVE_")]:
        del os.environ[name]
    os.environ["FCNSERVE_THREADS"] = str(threads)
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = str(ONEDNN_PRIMITIVES)
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """Split `--setting NAME=VALUE` options."""
    return dict(setting.split("=", 1) for setting in settings)


def print_progress(line: str) -> None:
    typer.echo(line, err=True)
