"""The processors that a process may use, within its control groups."""

import os
from pathlib import Path

import pytest

from handlers.shared import processors
from handlers.shared.processors import UNLIMITED, limit_of_time, usable_processors

V1 = "9:name=systemd:/\n3:cpuset:/pod/a\n2:cpuacct,cpu:/pod/a\n0::/pod/a\n"
V2 = "0::/pod/a\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (V2, {}, UNLIMITED),
        (V2, {"pod/a/cpu.max": "max 100000\n"}, UNLIMITED),
        (V2, {"pod/a/cpu.max": "250000 100000\n"}, 2.5),
        (V2, {"cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"pod/cpu.max": "100000 50000\n", "pod/a/cpu.max": "400000 100000\n"}, 2),
        (V2, {"pod/b/cpu.max": "100000 100000\n"}, UNLIMITED),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, UNLIMITED),
        (V1, {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        (
            V1,
            {"cpu/pod/a/cpu.cfs_quota_us": "50000\n", "cpu/pod/a/cpu.cfs_period_us": "100000\n"},
            0.5,
        ),
    ],
    ids=[
        *("none", "v2-max", "v2", "v2-in-a-container", "v2-parent", "v2-another-group"),
        *("v1-none", "v1-in-a-container", "v1"),
    ],
)
def test_the_least_limit_of_time_of_the_groups_around_a_process_counts(
    tmp_path: Path, own: str, files: dict[str, str], limit: float
) -> None:
    own_file = write(tmp_path, {"own": own}) / "own"
    assert limit_of_time(write(tmp_path / "groups", files), own_file) == limit


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert limit_of_time(tmp_path, tmp_path / "absent") == UNLIMITED


@pytest.mark.parametrize(
    ("allowed", "limit", "usable"),
    [(8, UNLIMITED, 8), (8, 2.5, 2), (8, 0.5, 1), (2, 6.0, 2)],
)
def test_affinity_and_time_both_bound_the_processors(
    monkeypatch: pytest.MonkeyPatch, allowed: int, limit: float, usable: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(allowed)))
    monkeypatch.setattr(processors, "limit_of_time", lambda: limit)
    assert usable_processors() == usable
