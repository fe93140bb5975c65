"""The package `fcnserve`: the only name that the wheel adds to site-packages.

In the wheel, this folder holds `service/`, `handlers/`, `model_store/` and `deploy/torchserve/`
(setup.py), which import each other by these names, as in a checkout. `main` is called by the
command `fcnserve`, `load` by notebooks and tests.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .in_process import LoadedModel

HERE = Path(__file__).resolve().parent
# an editable installation has the folders in the checkout, at deploy/wheel/../..
ROOT = HERE if (HERE / "service").is_dir() else HERE.parents[1]
FOLDERS = ("service", "handlers", "model_store")

__all__ = ["load", "main"]


def main() -> None:
    """Run the command line; its subprocesses start in ROOT and find the folders there."""
    sys.path.insert(0, str(ROOT))
    from service.cli.main import main as run

    run()


def load(
    model: str | os.PathLike[str] = "fcn8s-lite2",
    *,
    device: str | None = None,
    threads: int | None = None,
) -> "LoadedModel":
    """Load a model into this process, without a server: the same results, bit for bit.

    `model` is the name of one in the model store, or a model's folder. `device` is torch's name of
    it (`cpu`, `cuda`, `cuda:1`), the first GPU where there is one unless given. `threads` is the
    number of torch's threads, which all of this process then has: unless given that of a worker of
    `fcnserve serve` on this machine, whose digest the results then have.

    Raises ModuleNotFoundError where the extra `worker` is not installed, ValueError for a model or
    a device that cannot be loaded.
    """
    _find_folders()
    from service.worker.command import missing_extra

    try:
        from .in_process import load_model
    except ModuleNotFoundError as error:
        if (reason := missing_extra(error)) is None:
            raise
        raise ModuleNotFoundError(reason, name=error.name) from error
    return load_model(model, device, threads)


def _find_folders() -> None:
    """Let the folders be imported, by names that this process must not have for other modules."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    for name in FOLDERS:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and not Path(file).is_relative_to(ROOT):
            raise ImportError(
                f"{file} is loaded as {name!r}, a name that fcnserve's own modules have; call "
                "fcnserve.load() in another process, or rename that module",
                name=name,
            )
