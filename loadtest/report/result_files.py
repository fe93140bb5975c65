"""Writes a result as two files: the page STEM.md and the data STEM.json.

Called by the reports of all rooms.
"""

import json
from collections.abc import Mapping
from pathlib import Path


def write_result(stem: Path, page: str, data: Mapping[str, object]) -> None:
    """Write both files; creates the folder where it is missing."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(page)
    stem.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
