"""Metrics files on a disk that fills up: all mapped pages have blocks, other values are kept."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client import values as prometheus_values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from structlog.testing import capture_logs

from service.metrics.files import FILE_BYTES, ReservedDict, metrics_folder, reserve_files
from service.temporary_folders import LOCK

KEYS = [f"{number:04d}" * 25 for number in range(2000)]  # more than FILE_BYTES has room for


class Disk:
    """A disk with so much room left for files that grow."""

    def __init__(self) -> None:
        self.size_bytes = 1 << 40

    def allocate(self, descriptor: int, offset: int, size_bytes: int) -> None:
        if offset + size_bytes > self.size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really_allocate(descriptor, offset, size_bytes)


really_allocate = os.posix_fallocate


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr("os.posix_fallocate", disk.allocate)
    return disk


def kept(path: Path) -> dict[str, float]:
    """The values that other processes read in a file."""
    if not path.exists():
        return {}
    found = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    return {key: value for key, value, _, _ in found}


def has_all_blocks(path: Path) -> bool:
    there = path.stat()
    return there.st_blocks * 512 >= there.st_size


def test_a_file_has_its_blocks_however_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    figures = ReservedDict(str(path))
    for number, key in enumerate(KEYS):
        figures.write_value(key, number, 0.0)
        assert has_all_blocks(path)
    figures.close()
    assert path.stat().st_size > 2 * FILE_BYTES
    assert kept(path) == {key: number for number, key in enumerate(KEYS)}


@pytest.mark.parametrize("room_bytes", [0, FILE_BYTES, 2 * FILE_BYTES])
def test_values_without_room_on_a_full_disk_are_written_later(
    tmp_path: Path, disk: Disk, room_bytes: int
) -> None:
    path = tmp_path / "counter_1.db"
    disk.size_bytes = room_bytes
    with capture_logs() as logs:
        figures = ReservedDict(str(path))
        for key in KEYS:
            assert figures.read_value(key) == (0.0, 0.0)
            figures.write_value(key, 1.0, 0.0)
        few = kept(path)
        assert len(few) < len(KEYS)
        assert set(few.values()) <= {1.0}
        assert [line["log_level"] for line in logs] == ["error"]
        assert list(tmp_path.iterdir()) == ([path] if room_bytes else [])
        disk.size_bytes = 1 << 40
        for key in KEYS:
            figures.write_value(key, 2.0, 0.0)
    figures.close()
    assert kept(path) == dict.fromkeys(KEYS, 2.0)


def test_values_of_a_dead_process_with_the_same_pid_are_continued(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    first = ReservedDict(str(path))
    first.write_value("a", 5.0, 0.0)
    first.close()
    second = ReservedDict(str(path))
    assert second.read_value("a") == (5.0, 0.0)
    second.close()


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """prometheus_client in one process of several."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr("prometheus_client.values.MmapedDict", MmapedDict)  # put back afterwards
    reserve_files()
    several = prometheus_values.MultiProcessValue()  # type: ignore[no-untyped-call]
    monkeypatch.setattr("prometheus_client.values.ValueClass", several)
    yield tmp_path
    several.close_all_files()


def test_prometheus_client_counts_in_reserved_files(counted: Path, disk: Disk) -> None:
    disk.size_bytes = 0
    registry, scraped = CollectorRegistry(), CollectorRegistry()
    MultiProcessCollector(scraped, str(counted))  # type: ignore[no-untyped-call]
    requests = Counter("requests", "", registry=registry)
    requests.inc()
    assert scraped.get_sample_value("requests_total") is None
    disk.size_bytes = 1 << 40
    requests.inc()
    assert scraped.get_sample_value("requests_total") == 2
    (file,) = counted.iterdir()
    assert has_all_blocks(file)


def test_a_folder_is_made_where_there_is_room_and_removed(tmp_path: Path) -> None:
    full, roomy = tmp_path / "none", tmp_path / "roomy"
    roomy.mkdir()
    with capture_logs() as logs, metrics_folder(2, [str(full), str(roomy)]) as folder:
        assert folder
        assert folder.parent == roomy
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert list(roomy.iterdir()) == []
    assert logs == []


def test_the_folder_of_a_killed_gateway_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "fcns-metrics-1"
    left.mkdir()
    for name in (LOCK, "counter_1.db"):
        (left / name).touch()
    with metrics_folder(2, [str(tmp_path)]) as folder, metrics_folder(2, [str(tmp_path)]) as other:
        assert set(tmp_path.iterdir()) == {folder, other}


def test_without_room_there_is_no_folder_and_one_log_line(tmp_path: Path, disk: Disk) -> None:
    disk.size_bytes = FILE_BYTES
    with capture_logs() as logs, metrics_folder(2, [str(tmp_path), str(tmp_path)]) as folder:
        assert folder is None
    assert list(tmp_path.iterdir()) == []
    (line,) = logs
    assert "No space left on device" in line["reason"]
