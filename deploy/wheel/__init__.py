"""The package `fcnserve`: the only name that the wheel adds to site-packages.

In the wheel, this folder holds `service/`, `handlers/`, `model_store/` and `deploy/torchserve/`
(setup.py), which import each other by these names, as in a checkout. Called by the command
`fcnserve`.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# an editable installation has the folders in the checkout, at deploy/wheel/../..
ROOT = HERE if (HERE / "service").is_dir() else HERE.parents[1]


def main() -> None:
    """Run the command line; its subprocesses start in ROOT and find the folders there."""
    sys.path.insert(0, str(ROOT))
    from service.cli.main import main as run

    run()
