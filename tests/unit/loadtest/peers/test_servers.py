"""What the servers share: setup, work, and the answers they give."""

import json
import struct
from pathlib import Path

import numpy as np

from handlers.shared.png import write_indexed
from loadtest.benchmark.data_set import read_labels
from loadtest.benchmark.strategies import ONE_BY_ONE
from loadtest.command_line import MODEL, SAMPLES
from loadtest.front.data import write_folder
from loadtest.peers.servers.photo_work import work_for
from loadtest.peers.servers.setup import NULL, PLAIN, Setup
from loadtest.peers.servers.triton_answer import JSON_BYTES, read_element
from loadtest.traffic.concurrent_clients import read_png

PALETTE = bytes(range(9))


def mask(*rows: list[int]) -> bytes:
    return write_indexed(np.array(rows, np.uint8), PALETTE)


REFERENCE = [mask([0, 1], [2, 2]), mask([1, 1])]


def test_a_setup_passes_through_the_environment_unchanged() -> None:
    setup = Setup("/some/model", 8123, "one by one", 2, 8, 5)
    assert Setup.read(setup.environment()) == setup


def test_plain_pytorch_gives_nearly_the_same_labels() -> None:
    """They differ at the edge, where our scores fade out, and in the last bits of bf16."""
    body = (SAMPLES / "cat.jpg").read_bytes()
    ours, plain = (
        read_labels(work_for(Setup(str(MODEL), 0, grouping, 1, 1, 0)).answer([body])[0])
        for grouping in (ONE_BY_ONE, PLAIN)
    )
    assert ours.shape == plain.shape
    assert np.mean(ours == plain) > 0.995


def test_without_a_network_a_photo_gets_the_label_map_of_its_size(tmp_path: Path) -> None:
    body = (SAMPLES / "cat.jpg").read_bytes()
    labels = np.random.default_rng(0).integers(0, 3, (300, 451), np.uint8)
    write_folder(tmp_path, {labels.shape: labels})
    (png,) = work_for(Setup(str(tmp_path), 0, NULL, 1, 1, 0)).answer([body])
    assert np.array_equal(read_labels(png), labels)


def test_the_mask_follows_the_json_of_a_triton_answer() -> None:
    header = json.dumps({"outputs": [{"name": "mask"}]}).encode()
    body = header + struct.pack("<I", len(REFERENCE[0])) + REFERENCE[0]
    assert read_element({JSON_BYTES.lower(): str(len(header))}, body) == REFERENCE[0]


def test_a_body_that_is_no_png_is_no_mask() -> None:
    assert read_png({"content-type": "image/png"}, b"mask") == b"mask"
    assert read_png({"content-type": "application/json"}, b"{}") is None
    assert read_png({}, b"") is None
