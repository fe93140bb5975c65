"""The note in `.venv` that says what was installed there, so that a second install returns at once.

In: the checkout and the environment variables that decide. Out: a `Stamp`. Nothing is run to make
one: only files are read and PATH is searched. Called by `deploy/environment.py`.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.worker.java import java_candidates

STAMP_NAME = "fcnserve-stamp.json"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an environment was made from (fingerprint) and holds (extras)."""

    fingerprint: str
    extras: frozenset[str]
    torch_index: str

    def covers(self, wanted: "Stamp") -> bool:
        """Whether an environment with this stamp needs no work to serve what is wanted."""
        return (
            self.fingerprint == wanted.fingerprint
            and self.extras >= wanted.extras
            and wanted.torch_index in ("", self.torch_index)
        )


def fingerprint(root: Path, environ: Mapping[str, str]) -> str:
    """A digest of the pins, the place, and where a GPU's tool and a Java would be found."""
    path = environ.get("PATH")
    parts = [
        (root / "pyproject.toml").read_text(),
        (root / "constraints.txt").read_text(),
        str(root),
        environ.get("TORCH_BUILD", ""),
        str(shutil.which("nvidia-smi", path=path)),
        *map(str, java_candidates(environ)),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_stamp(environment: Path) -> Stamp | None:
    """The environment's stamp; None when it has none that can be read."""
    try:
        note = json.loads((environment / STAMP_NAME).read_text())
        return Stamp(note["fingerprint"], frozenset(note["extras"]), note["torch_index"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_stamp(environment: Path) -> None:
    """Forget what was installed, because the environment is about to change."""
    (environment / STAMP_NAME).unlink(missing_ok=True)


def write_stamp(environment: Path, stamp: Stamp) -> None:
    """Write the stamp whole or not at all."""
    note = {
        "fingerprint": stamp.fingerprint,
        "extras": sorted(stamp.extras),
        "torch_index": stamp.torch_index,
    }
    draft = environment / f"{STAMP_NAME}.draft"
    draft.write_text(json.dumps(note, indent=2) + "\n")
    draft.replace(environment / STAMP_NAME)
