"""The keys file: what it says, when it is read again, and what becomes of a broken one."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from service.cli import app
from service.keys import MAX_KEYS, Key, KeysFile, KeysFileError, make_key, read_keys

SECRET, KEY = make_key("camera-7")
OTHER_SECRET, OTHER = make_key()


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"{KEY.line}\n")
    return file


def loaded(path: Path, clock: Clock) -> KeysFile:
    keys = KeysFile(path, clock)
    keys.load()
    return keys


def test_a_line_is_the_hash_of_the_key_and_its_name() -> None:
    assert KEY.line == f"{hashlib.sha256(SECRET.encode()).hexdigest()} camera-7"
    assert OTHER.name == OTHER.digest[:8]


def test_no_two_keys_are_alike_and_each_has_256_bits() -> None:
    secrets = {make_key()[0] for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {len("fcns_") + 43}


def test_a_file_may_have_comments_blank_lines_and_capitals() -> None:
    lines = ["# all of ours", "", f"  {KEY.digest.upper()}  camera-7  # the old one", OTHER.digest]
    assert read_keys(lines) == (KEY, OTHER)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="empty"),
        pytest.param(["# only a comment"], id="no-key"),
        pytest.param([SECRET], id="a-key-itself"),
        pytest.param([KEY.digest[:-1]], id="short"),
        pytest.param([KEY.digest + "0"], id="long"),
        pytest.param(["g" * 64], id="not-hexadecimal"),
        pytest.param([f"{KEY.digest} two words"], id="two-names"),
        pytest.param([f"{KEY.digest} evil\x1b[31m"], id="name-for-a-terminal"),
        pytest.param([f"{KEY.digest} {'n' * 65}"], id="long-name"),
        pytest.param([KEY.line, f"{KEY.digest} again"], id="twice"),
        pytest.param([f"{number:064x}" for number in range(MAX_KEYS + 1)], id="too-many"),
    ],
)
def test_a_wrong_line_is_an_error_that_does_not_show_it(lines: list[str]) -> None:
    with pytest.raises(KeysFileError) as error:
        read_keys(lines)
    assert SECRET not in str(error.value)
    assert str(error.value).isprintable()


def test_a_key_is_found_and_a_wrong_one_is_not(path: Path) -> None:
    keys = loaded(path, Clock())
    assert keys.find(SECRET.encode()) == KEY
    for wrong in (b"", SECRET[:-1].encode(), OTHER_SECRET.encode(), KEY.digest.encode(), b"\xff"):
        assert keys.find(wrong) is None


def test_every_line_is_compared_whatever_the_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Key(f"{number:064x}", "x") for number in range(5)]
    path.write_text("\n".join(key.line for key in [KEY, *others]))
    keys = loaded(path, Clock())
    compared: list[str] = []

    def compare(left: str, right: str) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr("hmac.compare_digest", compare)
    for sent in (SECRET, OTHER_SECRET):
        compared.clear()
        keys.find(sent.encode())
        assert compared == [KEY.digest, *(key.digest for key in others)]


def test_a_changed_file_is_read_within_a_second(path: Path) -> None:
    clock = Clock()
    keys = loaded(path, clock)
    path.write_text(f"{OTHER.line}\n")
    assert keys.find(SECRET.encode()) == KEY  # it is looked at once a second
    clock.now_s += 1
    assert keys.find(SECRET.encode()) is None
    assert keys.find(OTHER_SECRET.encode()) == OTHER


def test_a_replaced_file_of_the_same_size_and_time_is_read(path: Path, tmp_path: Path) -> None:
    path.write_text(f"{KEY.digest} x\n")
    clock = Clock()
    keys = loaded(path, clock)
    fresh = tmp_path / "fresh"
    fresh.write_text(f"{OTHER.digest} x\n")
    before = path.stat()
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)
    clock.now_s += 1
    assert keys.find(SECRET.encode()) is None


def test_an_unchanged_file_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    keys = loaded(path, clock)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("was read"))
    clock.now_s += 10
    assert keys.find(SECRET.encode()) == KEY


@pytest.mark.parametrize("damage", ["emptied", "garbled", "removed", "unreadable"])
def test_a_file_that_breaks_leaves_the_old_keys_and_says_so_once(path: Path, damage: str) -> None:
    clock = Clock()
    keys = loaded(path, clock)
    if damage in {"removed", "unreadable"}:
        path.unlink()
    if damage == "unreadable":
        path.mkdir()
    if damage in {"emptied", "garbled"}:
        path.write_bytes(b"" if damage == "emptied" else b"\x00\xff\n")
    with capture_logs() as logs:
        for _ in range(3):
            clock.now_s += 1
            assert keys.find(SECRET.encode()) == KEY
    assert [line["log_level"] for line in logs] == ["error"]
    if path.is_dir():
        path.rmdir()
    path.write_text(f"{OTHER.line}\n")
    clock.now_s += 1
    assert keys.find(OTHER_SECRET.encode()) == OTHER


def test_a_start_without_the_file_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match=r"FCNSERVE_API_KEYS_FILE is .*No such file"):
        KeysFile(tmp_path / "none").load()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_gateway_without_its_keys_says_so_in_a_line_and_ends(
    tmp_path: Path, processes: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "gateway"],
        env=os.environ
        | {"FCNSERVE_API_KEYS_FILE": str(tmp_path / "none"), "FCNSERVE_PORT": "0"}
        | {"FCNSERVE_GATEWAY_PROCESSES": processes},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("FCNSERVE_API_KEYS_FILE is ")


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(KeysFileError, match="more than 1000000 bytes"):
        KeysFile(Path("/dev/zero")).load()


def test_the_command_prints_a_key_and_a_line_that_lets_it_in(path: Path) -> None:
    result = CliRunner().invoke(app, ["key", "camera-8"])
    secret, line = result.output.splitlines()
    path.write_text(f"{line}\n")
    found = loaded(path, Clock()).find(secret.encode())
    assert found is not None
    assert found.name == "camera-8"


def test_the_command_refuses_a_name_that_the_file_could_not_have() -> None:
    result = CliRunner().invoke(app, ["key", "two words"])
    assert result.exit_code == 2
    assert "letters" in result.output
