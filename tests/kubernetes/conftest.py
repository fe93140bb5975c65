"""Manifests as kubectl builds them: every overlay as it is, and with all components.

kubectl is needed (any since 1.27), and no cluster: without it, the tests fail.
"""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import COMPONENTS, FOLDER, OVERLAYS, Resource

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)


def build(folder: Path) -> list[Resource]:
    """Run `kubectl kustomize`; a warning is an error, too."""
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def with_components(overlay: str, folder: Path) -> Path:
    """Write a Kustomization of an overlay with all components that one overlay can have."""
    taken = {"monitoring", "hpa"} if overlay == "keda" else set()
    chosen = [] if overlay == "kserve" else [name for name in COMPONENTS if name not in taken]
    (folder / "deploy").symlink_to(FOLDER.parent)
    root = "deploy/kubernetes"
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "fcnserve",
        "resources": [f"{root}/overlays/{overlay}"],
        "components": [f"{root}/components/{name}" for name in chosen],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Resource]]:
    """Return the resources of each overlay, and of each with all components."""
    plain = {name: build(FOLDER / "overlays" / name) for name in OVERLAYS}
    full = {
        f"{name} with components": build(with_components(name, tmp_path_factory.mktemp(name)))
        for name in OVERLAYS
    }
    return {**plain, **full}


VARIANTS = [*OVERLAYS, *(f"{name} with components" for name in OVERLAYS)]


@pytest.fixture(params=VARIANTS)
def resources(request: pytest.FixtureRequest, built: dict[str, list[Resource]]) -> list[Resource]:
    return built[request.param]
