"""The notebook runs in a kernel of Jupyter, and shows what it was kept with."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.server import ROOT, Server

PATH = ROOT / "examples/segment.ipynb"


def kinds(notebook: nbformat.NotebookNode) -> list[list[tuple[str, ...]]]:
    """For each cell what its outputs are: text that is printed, or the media types of a value."""
    return [
        [tuple(sorted(each.get("data", {each.output_type: ""}))) for each in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_the_notebook_shows_what_it_was_kept_with(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCNSERVE_URL", server.url)
    kept = nbformat.read(PATH, as_version=4)
    ran = nbformat.read(PATH, as_version=4)
    folder = {"metadata": {"path": str(PATH.parent)}}
    NotebookClient(ran, timeout=60, coalesce_streams=True, resources=folder).execute()
    assert kinds(ran) == kinds(kept)
    printed = "".join(
        each.get("text", "") for cell in ran.cells for each in cell.get("outputs", ())
    )
    assert "cat " in printed
    assert "astronaut.jpg <Segmentation 512x512 by fcn8s-lite2: background" in printed
