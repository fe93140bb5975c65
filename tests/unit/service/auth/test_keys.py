"""The keys file: what it holds, when it is read again, and what happens when it is broken."""

import hashlib
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from service.auth.keys import MAX_KEYS, Key, Keys, KeysFileError, make_key, read_keys
from service.auth.keys_file import STALE_AFTER_S, KeysFile
from service.cli.main import app

SECRET, KEY = make_key("camera-7")
OTHER_SECRET, OTHER = make_key()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"{KEY.line}\n")
    return file


def loaded(path: Path) -> KeysFile:
    keys = KeysFile(path)
    keys.reload()
    return keys


def test_a_line_is_the_hash_of_the_key_and_its_name() -> None:
    assert KEY.line == f"{hashlib.sha256(SECRET.encode()).hexdigest()} camera-7"
    assert OTHER.name == OTHER.digest[:8]


def test_keys_are_unique_and_have_256_bits() -> None:
    secrets = {make_key()[0] for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {len("fcns_") + 43}


def test_a_file_may_have_comments_blank_lines_and_capitals() -> None:
    lines = ["# all of ours", "", f"  {KEY.digest.upper()}  camera-7  # the old one", OTHER.digest]
    assert read_keys(lines) == Keys((KEY, OTHER))


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
        pytest.param(["\x00\ufffd"] * 100, id="garbled"),
    ],
)
def test_a_file_without_a_valid_line_ends_the_first_start_and_is_not_shown(
    path: Path, lines: list[str]
) -> None:
    path.write_text("\n".join(lines))
    with pytest.raises(KeysFileError) as error:
        KeysFile(path).check()
    assert SECRET not in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 3000


each_invalid_line = pytest.mark.parametrize(
    "wrong",
    [SECRET, KEY.digest[:-1], f"{KEY.digest} two words", f"{OTHER.digest} again", "\x00\ufffd"],
    ids=["a-key-itself", "short", "two-names", "twice", "garbled"],
)


@each_invalid_line
def test_an_invalid_line_ends_no_start_and_its_number_is_logged(path: Path, wrong: str) -> None:
    path.write_text(f"# ours\n{OTHER.line}\n{wrong}\n")
    keys = KeysFile(path)
    keys.check()
    with capture_logs() as logs, keys.watching():
        assert keys.find(OTHER_SECRET.encode()) == OTHER
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["reason"].startswith("line 3 ")
    assert SECRET not in str(logs)


def test_too_many_keys_end_no_start(path: Path) -> None:
    path.write_text("\n".join(f"{number:064x}" for number in range(MAX_KEYS + 1)))
    KeysFile(path).check()


@each_invalid_line
def test_an_invalid_line_is_ignored_and_reported_by_its_number_alone(wrong: str) -> None:
    keys = read_keys(["# ours", OTHER.line, wrong])
    assert keys.valid == (OTHER,)
    (error,) = keys.errors
    assert error.startswith("line 3 ")
    assert SECRET not in error


def test_of_too_many_keys_the_first_are_valid() -> None:
    lines = [f"{number:064x}" for number in range(MAX_KEYS + 5)]
    keys = read_keys(lines)
    assert [key.digest for key in keys.valid] == lines[:MAX_KEYS]
    assert keys.errors == (f"line {MAX_KEYS + 1} and those below are one key too many: 1000 count",)


def test_a_valid_key_is_found_and_an_invalid_one_is_not(path: Path) -> None:
    keys = loaded(path)
    assert keys.find(SECRET.encode()) == KEY
    for wrong in (b"", SECRET[:-1].encode(), OTHER_SECRET.encode(), KEY.digest.encode(), b"\xff"):
        assert keys.find(wrong) is None


def test_every_line_is_compared_whatever_the_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Key(f"{number:064x}", "x") for number in range(5)]
    path.write_text("\n".join(key.line for key in [KEY, *others]))
    keys = loaded(path)
    compared: list[str] = []

    def compare(left: str, right: str) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr("hmac.compare_digest", compare)
    for sent in (SECRET, OTHER_SECRET):
        compared.clear()
        keys.find(sent.encode())
        assert compared == [KEY.digest, *(key.digest for key in others)]


def test_a_changed_file_is_read_at_the_next_reload(path: Path) -> None:
    keys = loaded(path)
    path.write_text(f"{OTHER.line}\n")
    assert keys.find(SECRET.encode()) == KEY
    keys.reload()
    assert keys.find(SECRET.encode()) is None
    assert keys.find(OTHER_SECRET.encode()) == OTHER


def rewrite(path: Path, text: str) -> None:
    """Write in place, and keep size, time and inode: only the content differs."""
    before = path.stat()
    assert before.st_size == len(text)
    with path.open("r+") as file:
        file.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename(path: Path, text: str) -> None:
    """Replace the file, as editors do."""
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(path)


def point_elsewhere(path: Path, text: str) -> None:
    """Replace a link, as Kubernetes does for a mounted secret: `keys` leads through `..data`."""
    folder = path.parent / f"..{uuid.uuid4().hex}"
    folder.mkdir()
    (folder / "keys").write_text(text)
    (path.parent / "..data_tmp").symlink_to(folder.name)
    (path.parent / "..data_tmp").replace(path.parent / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to("..data/keys")


@pytest.mark.parametrize("change", [rewrite, rename, point_elsewhere])
def test_keys_are_reloaded_after_each_kind_of_change(
    path: Path, change: Callable[[Path, str], None]
) -> None:
    path.write_text(f"{KEY.digest} x\n")
    keys = loaded(path)
    for digest, secret, removed in [
        (OTHER.digest, OTHER_SECRET, SECRET),
        (KEY.digest, SECRET, OTHER_SECRET),
    ]:
        change(path, f"{digest} x\n")
        keys.reload()
        assert keys.find(secret.encode()) is not None
        assert keys.find(removed.encode()) is None


def empty(path: Path) -> None:
    path.write_bytes(b"")


def comment_out(path: Path) -> None:
    path.write_text(f"#{KEY.line}\n")


def remove(path: Path) -> None:
    path.unlink()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def make_large(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


DAMAGES = [empty, comment_out, remove, make_fifo, make_folder, make_device, make_loop, make_large]


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_a_file_without_keys_none_is_valid_and_it_is_logged_once(
    path: Path, damage: Callable[[Path], None]
) -> None:
    keys = loaded(path)
    damage(path)
    with capture_logs() as logs:
        for _ in range(3):
            keys.reload()
            assert keys.find(SECRET.encode()) is None
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["event"] == "no API key is valid"
    assert KEY.digest not in str(logs)
    assert loaded(path).find(SECRET.encode()) is None  # a process that starts now agrees
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.write_text(f"{OTHER.line}\n")
    keys.reload()
    assert keys.find(OTHER_SECRET.encode()) == OTHER


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_first_start_with_a_file_without_keys_is_an_error(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    with pytest.raises(KeysFileError, match="as `fcnserve key` prints them"):
        KeysFile(path).check()


def test_an_invalid_line_affects_no_other_and_a_removed_key_is_invalid(path: Path) -> None:
    keys = loaded(path)
    path.write_text(f"{OTHER.line}\nno key\n")
    with capture_logs() as logs:
        keys.reload()
        keys.reload()
    assert keys.find(SECRET.encode()) is None
    assert keys.find(OTHER_SECRET.encode()) == OTHER
    assert loaded(path).find(OTHER_SECRET.encode()) == OTHER
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["reason"].startswith("line 2 is no key's")


def test_a_hanging_file_system_blocks_no_request_and_no_key_stays_valid(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    keys = KeysFile(path, lambda: now_s)
    keys.reload()
    reached, released = threading.Event(), threading.Event()

    def hang(_path: Path) -> bytes:
        reached.set()
        released.wait(30)
        return KEY.line.encode()

    monkeypatch.setattr("service.auth.keys_file.read_regular", hang)
    reloading = threading.Thread(target=keys.reload)
    reloading.start()
    assert reached.wait(30)
    assert keys.find(SECRET.encode()) == KEY
    now_s += STALE_AFTER_S + 1
    assert keys.find(SECRET.encode()) is None
    released.set()
    reloading.join(30)
    assert keys.find(SECRET.encode()) == KEY


def test_a_start_without_the_file_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match=r"FCNSERVE_API_KEYS_FILE is .*No such file"):
        KeysFile(tmp_path / "none").check()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_gateway_without_its_keys_file_ends_with_one_line(tmp_path: Path, processes: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.main", "gateway"],
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


def test_the_command_prints_a_key_and_a_line_that_makes_it_valid(path: Path) -> None:
    result = CliRunner().invoke(app, ["key", "camera-8"])
    secret, line = result.stdout.splitlines()  # nothing else, for scripts
    key_label, line_label = result.stderr.splitlines()
    assert "the key, which clients send" in key_label
    assert "FCNSERVE_API_KEYS_FILE" in line_label
    path.write_text(f"{line}\n")
    found = loaded(path).find(secret.encode())
    assert found is not None
    assert found.name == "camera-8"


def test_the_command_refuses_a_name_that_the_file_could_not_have() -> None:
    result = CliRunner().invoke(app, ["key", "two words"])
    assert result.exit_code == 2
    assert "letters" in result.output
