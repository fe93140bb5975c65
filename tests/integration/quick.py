"""Models that are ready soon, for tests that look at something else than what photos may share."""

import shutil
from pathlib import Path

from tests.integration.server import MODEL, ROOT
from tests.support.worker import change_model

# few shared passes to be tried; a worker that hangs is soon found
QUICK = {"ladder": {"cpu": [128]}, "response_timeout_s": 5}


def put_quick_model(store: Path) -> None:
    """Put a copy of the default model into a store: the same masks after a shorter warm-up."""
    shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
    change_model(store / MODEL, batching=QUICK)
