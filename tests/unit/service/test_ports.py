"""A port that is found free stays free until a server listens on it."""

import random
import socket
from pathlib import Path

import pytest

from service import ports
from service.ports import FIRST_PORT, first_ephemeral_port, free_ports


def test_ports_have_no_listener_and_are_none_that_a_connection_may_take() -> None:
    found = free_ports(200)
    assert len(set(found)) == 200
    assert min(found) >= FIRST_PORT
    assert max(found) < first_ephemeral_port()
    for port in found:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_a_port_in_use_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (used, free) = free_ports(2)
    chosen = iter([used, used, free])
    monkeypatch.setattr(random, "randrange", lambda *_: next(chosen))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", used))
        assert free_ports(1) == [free]


def test_too_few_free_ports_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    (used,) = free_ports(1)
    monkeypatch.setattr(random, "randrange", lambda *_: used)
    with pytest.raises(OSError, match="fewer than 2 free ports"):
        free_ports(2)


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        pytest.param("40000\t60999\n", 40000, id="set"),
        pytest.param("1024\t65535\n", 32768, id="nearly-all"),
        pytest.param("", 32768, id="empty"),
        pytest.param(None, 32768, id="missing"),
    ],
)
def test_the_kernels_setting_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str | None, first: int
) -> None:
    file = tmp_path / "range"
    if setting is not None:
        file.write_text(setting)
    monkeypatch.setattr(ports, "EPHEMERAL_PORTS", file)
    assert first_ephemeral_port() == first
