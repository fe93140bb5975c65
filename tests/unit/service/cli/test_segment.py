"""The command `fcnserve segment` with a fake server: streams, exit status, Ctrl-C."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from service.cli.segment import segment
from service.client.files import SUFFIXES, OutputName, plan_jobs
from service.render import Output
from tests.support.segment_server import ANSWER, FakeServer


@pytest.mark.parametrize("output", get_args(OutputName))
def test_each_output_has_its_file_name(output: OutputName) -> None:
    (job, _) = plan_jobs(["a.jpg", "b.jpg"], "out", output).jobs
    assert job.target == f"out/a{SUFFIXES[output][0]}"


def test_the_command_has_the_outputs_of_the_api() -> None:
    assert set(get_args(OutputName)) == set(SUFFIXES) == {output.value for output in Output}


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(segment)
    return app


def test_an_absent_server_is_reported_once(photos: list[str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{free.getsockname()[1]}"
        answer = CliRunner().invoke(_app(), [*photos, "-o", str(tmp_path / "out"), "--url", url])
    assert answer.exit_code == 1
    assert answer.stderr.count("is the server running? start it with: make serve") == 1
    assert "0 of 6 photos segmented" in answer.stderr


async def test_streams_carry_bytes_and_nothing_else(url: str) -> None:
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    running = await _run_command(script, ["-", "-o", "-", "--url", url], b"stream\r\n\0")
    assert (running.returncode, running.stdout) == (0, ANSWER + b"stream\r\n\0")
    assert running.stderr == b""


async def test_a_failure_is_one_line_and_an_exit_status(url: str) -> None:
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    running = await _run_command(script, ["-", "-o", "-", "--url", url], b"broken")
    assert (running.returncode, running.stdout) == (1, b"")
    assert running.stderr == b"standard input: the image is cut short [broken_image]\n"


async def test_the_environment_names_server_and_key(fake: FakeServer, url: str) -> None:
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    os.environ.update(variables := {"FCNSERVE_URL": url, "FCNSERVE_KEY": "k"})
    try:
        running = await _run_command(script, ["-", "-o", "-"], b"photo")
    finally:
        for name in variables:
            del os.environ[name]
    assert (running.returncode, running.stdout) == (0, ANSWER + b"photo")
    assert fake.keys == ["Bearer k"]


def restore_ctrl_c() -> None:
    """Restore the default action of SIGINT, which a background job of a script ignores, as do its
    child processes.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("stuck", ["stdin", "fifo as photo", "fifo as target"])
async def test_ctrl_c_ends_the_command_while_it_waits_for_a_stream(
    tmp_path: Path, url: str, fake: FakeServer, stuck: str
) -> None:
    photo, fifo = tmp_path / "photo.jpg", tmp_path / "fifo"
    photo.write_bytes(b"photo")
    os.mkfifo(fifo)
    source = {"stdin": "-", "fifo as photo": str(fifo)}.get(stuck, str(photo))
    target = fifo if stuck == "fifo as target" else tmp_path / "mask.png"
    read_end, write_end = os.pipe()
    os.write(write_end, b"begin")
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    arguments = (source, "-o", str(target), "--url", url)
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *arguments),
        stdin=read_end,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=restore_ctrl_c,
    )
    waits: dict[str, Callable[[], bool]] = {
        "stdin": lambda: unread(write_end) == 0,
        "fifo as photo": lambda: has_reader(fifo),
        "fifo as target": lambda: bool(fake.queries),
    }
    try:
        async with asyncio.timeout(60):
            while not waits[stuck]():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
            running.send_signal(signal.SIGINT)
            _, printed = await running.communicate()
    finally:
        os.close(read_end)
        os.close(write_end)
    assert (running.returncode, printed) == (130, b"stopped\n")


def unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def has_reader(fifo: Path) -> bool:
    """Return whether the FIFO can be opened for writing without waiting."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


async def _run_command(
    script: str, arguments: list[str], photo: bytes
) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a subprocess, while this process's event loop answers its requests."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, *arguments],
        input=photo,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
