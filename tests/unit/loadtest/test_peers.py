"""The comparison with other servers is installed, started, compared and told as it says."""

import json
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handlers.shared.png import write_indexed
from loadtest.benchmark.data_set import labels
from loadtest.benchmark.rows import Slice
from loadtest.benchmark.run import MODEL, SAMPLES
from loadtest.benchmark.strategies import ONE_BY_ONE, OURS, PAD_TO_LARGEST
from loadtest.peers import install
from loadtest.peers.__main__ import chosen
from loadtest.peers.catalogue import ENTRIES, OUR_NAME, OURSELVES, PEERS, Entry, Peer
from loadtest.peers.page import HEADINGS, markdown, p99_ms, save
from loadtest.peers.record import OtherTermsError, Record, record_of
from loadtest.peers.run import (
    PADDED_AT_ONCE,
    Found,
    compare,
    heats,
    lone_answers,
    quietest,
)
from loadtest.peers.servers.photo_work import work_for
from loadtest.peers.servers.setup import PLAIN, Setup
from loadtest.peers.servers.triton_answer import JSON_BYTES, read_element
from loadtest.peers.tuning import HEADINGS as TUNING_HEADINGS
from loadtest.peers.tuning import Tried, cells_of, variants
from loadtest.traffic.concurrent_clients import Burst, read_png
from service.settings import ROOT

PALETTE = bytes(range(9))
SLICE = Slice(
    images=4,
    seconds=1,
    cpu_s={"server": 0.2},
    valid_pixels=0,
    latencies_ms=((0, 10.0), (1, 20.0), (0, 10.0), (1, 40.0)),
    peak_bytes={"server": 5_000_000},
)


def mask(*rows: list[int]) -> bytes:
    return write_indexed(np.array(rows, np.uint8), PALETTE)


LONE = [mask([0, 1], [2, 2]), mask([1, 1])]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_server_has_a_program_and_pinned_requirements(peer: Peer) -> None:
    assert (ROOT / "loadtest" / "peers" / f"on_{peer.name}.py").exists()
    lines = install.requirements_of(peer.name).splitlines()
    assert all("==" in line for line in lines)
    assert any(line.lower().startswith(f"{peer.package}==") for line in lines)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_torch_comes_from_the_installer_and_with_it_no_other_build(peer: Peer) -> None:
    names = {
        line.split("==")[0].lower() for line in install.requirements_of(peer.name).splitlines()
    }
    assert not {name for name in names if name.startswith(("torch", "nvidia-c", "triton"))} - {
        "torchserve",
        "tritonclient",
    }


def test_an_environment_is_made_anew_only_where_its_requirements_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    made: list[str] = []
    monkeypatch.setattr(install, "install_one", made.append)
    (tmp_path / "mosec").mkdir()
    install.stamp_of("mosec").write_text(install.requirements_of("mosec"))
    install.install(["mosec", "ray"])
    assert made == ["ray"]


def test_rows_have_names_of_their_own_and_ours_is_one_of_them() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert [entry.grouping for entry in ENTRIES if entry.peer is OURSELVES] == [OURS]
    others = {entry.grouping for entry in ENTRIES if entry.peer is not OURSELVES}
    assert others == {ONE_BY_ONE, PAD_TO_LARGEST, PLAIN}
    assert {e.peer.name for e in ENTRIES} == {peer.name for peer in (OURSELVES, *PEERS)}


def test_ours_is_in_every_comparison() -> None:
    assert {entry.peer.name for entry in chosen(["mosec"])} == {OUR_NAME, "mosec"}


def test_what_a_server_is_started_with_arrives() -> None:
    setup = Setup("/some/model", 8123, "one by one", 2, 8, 5)
    assert Setup.read(setup.environment()) == setup


def test_plain_pytorch_finds_what_ours_finds() -> None:
    """But for the edge, where a photo's scores fade out in ours, and the last bits of bf16."""
    body = (SAMPLES / "cat.jpg").read_bytes()
    ours, plain = (
        labels(work_for(Setup(str(MODEL), 0, grouping, 1, 1, 0)).answer([body])[0])
        for grouping in (ONE_BY_ONE, PLAIN)
    )
    assert ours.shape == plain.shape
    assert np.mean(ours == plain) > 0.995


def test_pixels_that_differ_from_the_lone_answer_are_counted_once_a_mask() -> None:
    other = mask([0, 1], [2, 1])
    answers = {0: Counter({LONE[0]: 3, other: 2}), 1: Counter({LONE[1]: 5})}
    assert compare(answers, LONE) == (2, 2, 5 * 4 + 5 * 2)


def test_a_mask_that_differs_in_its_bytes_alone_changes_no_pixel() -> None:
    repacked = LONE[1] + b"\0"
    assert compare({1: Counter({repacked: 1})}, LONE) == (1, 0, 2)


def test_a_lone_photo_without_a_mask_ends_the_comparison() -> None:
    whole = Burst(answers={place: Counter({one: 1}) for place, one in enumerate(LONE)})
    assert lone_answers(whole, 2) == LONE
    with pytest.raises(ValueError, match="1 of 2 lone photos"):
        lone_answers(Burst(answers={0: whole.answers[0]}, failed=1), 2)


def test_tritons_mask_is_found_behind_its_json() -> None:
    told = json.dumps({"outputs": [{"name": "mask"}]}).encode()
    body = told + struct.pack("<I", len(LONE[0])) + LONE[0]
    assert read_element({JSON_BYTES: str(len(told))}, body) == LONE[0]


def test_what_is_no_png_is_no_mask() -> None:
    assert read_png({"Content-Type": "image/png"}, b"mask") == b"mask"
    assert read_png({"Content-Type": "application/json"}, b"{}") is None
    assert read_png({}, b"") is None


@pytest.fixture
def record() -> Record:
    """Ours makes twice the masks of each other; theirs change pixels where they pad."""
    rival = next(peer for peer in PEERS if peer.name == "mosec")
    entries = [Entry(OURSELVES, OURS), Entry(rival, "pad to largest", batch=8, wait_ms=5)]
    ours = Found([replace(SLICE, images=8)] * 2, [SLICE] * 2, 0, 100, LONE)
    theirs = Found([SLICE] * 2, [SLICE] * 2, 25, 100, [LONE[0], mask([0, 0])])
    found = dict(zip([entry.name for entry in entries], [ours, theirs], strict=True))
    return record_of(entries, found, {"model": "net", "set_name": "mix", "rounds": 2})


def test_lone_answers_are_compared_with_ours(record: Record) -> None:
    assert [one.lone_as_ours for one in record.results.values()] == [2, 1]


def test_a_page_tells_the_ratio_to_ours_and_the_pixels_that_changed(record: Record) -> None:
    (line,) = (each for each in markdown(record).splitlines() if each.startswith("| mosec"))
    cells = dict(zip(HEADINGS, [cell.strip() for cell in line.strip("|").split("|")], strict=True))
    assert cells["ours ÷ it"] == "2.00"
    assert cells["px changed %"] == "25.000"
    assert cells["lone = ours"] == "1/2"


def test_a_page_says_where_ours_is_behind(record: Record) -> None:
    page = markdown(record)
    assert "masks/s: ahead of" in page
    slow = replace(SLICE, latencies_ms=((0, 90.0), (1, 95.0)))
    ours = f"{OUR_NAME}: {OURS}"
    behind = {**record.results, ours: replace(record.results[ours], lone=[slow] * 2)}
    assert "latency of a lone photo (p50): behind" in markdown(Record(record.about, behind))


def test_p99_is_a_slices_own() -> None:
    assert p99_ms(SLICE) == 40


def test_rounds_are_added_to_those_of_a_run_on_the_same_terms(record: Record) -> None:
    joined = record.joined(record)
    assert joined.about["rounds"] == 4
    assert all(len(one.crowd) == 4 for one in joined.results.values())
    with pytest.raises(OtherTermsError):
        record.joined(Record({**record.about, "set_name": "one"}, record.results))


def test_a_record_comes_back_from_its_file_as_it_was(record: Record, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(record, tmp_path / "peers")
    assert (tmp_path / "peers.md").read_text() == page
    assert (tmp_path / "peers.png").stat().st_size > 0
    again = Record.read(tmp_path / "peers.json")
    assert markdown(again) == page


def test_servers_that_pad_run_a_few_at_a_time_and_all_others_with_ours() -> None:
    first, *padded = heats(ENTRIES)
    assert OURSELVES in [entry.peer for entry in first]
    assert not [entry for entry in first if entry.grouping == PAD_TO_LARGEST]
    assert all(0 < len(heat) <= PADDED_AT_ONCE for heat in padded)
    assert sorted(e.name for heat in (first, *padded) for e in heat) == sorted(
        e.name for e in ENTRIES
    )


def test_a_slice_is_measured_again_while_others_are_busy_and_the_quietest_counts() -> None:
    shares = iter([0.4, 0.2, 0.3, 0.01])

    def measured() -> tuple[Slice, Burst]:
        return replace(SLICE, foreign_share=next(shares)), Burst()

    assert quietest(measured)[0].foreign_share == 0.2
    assert quietest(measured)[0].foreign_share == 0.01


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e.peer is not OURSELVES], ids=lambda entry: entry.name
)
def test_a_tuning_begins_with_what_is_compared_and_changes_nothing_but_the_setup(
    entry: Entry,
) -> None:
    tried = list(variants(entry))
    assert tried[0] == entry
    assert all((one.peer, one.grouping) == (entry.peer, entry.grouping) for one in tried)
    assert len({str(one.told()) for one in tried}) == len(tried)


def test_a_server_that_cannot_batch_is_not_asked_to() -> None:
    (fastapi,) = (entry for entry in ENTRIES if entry.peer.name == "fastapi")
    assert {one.batch for one in variants(fastapi)} == {1}


def test_a_setup_that_fails_requests_says_so() -> None:
    setup = next(entry for entry in ENTRIES if entry.peer is not OURSELVES).told()
    cells = cells_of(Tried("mosec", "one by one", setup, 50.04, 400.2, 3))
    assert len(cells) == len(TUNING_HEADINGS)
    assert cells[-2:] == ("50.0 (3 failed)", "400")
