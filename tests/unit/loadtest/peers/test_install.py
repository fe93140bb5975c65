"""The environments of other servers."""

from pathlib import Path

import pytest

from loadtest.peers import install
from loadtest.peers.catalogue import PEERS, Peer


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_torch_is_installed_by_the_installer_alone(peer: Peer) -> None:
    names = {
        line.split("==")[0].lower() for line in install.requirements_of(peer.name).splitlines()
    }
    assert not {name for name in names if name.startswith(("torch", "nvidia-c", "triton"))} - {
        "torchserve",
        "tritonclient",
    }


def test_an_environment_is_rebuilt_only_where_its_requirements_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    made: list[str] = []
    monkeypatch.setattr(install, "install_one", made.append)
    (tmp_path / "mosec").mkdir()
    install.stamp_of("mosec").write_text(install.requirements_of("mosec"))
    install.install(["mosec", "ray"])
    assert made == ["ray"]
