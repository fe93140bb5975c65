"""The manifests of deploy/kubernetes as they are written: resources, containers and settings.

Used by the tests of Kubernetes, with and without kubectl.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (FOLDER / "overlays").iterdir()))
COMPONENTS = tuple(sorted(path.name for path in (FOLDER / "components").iterdir()))
BASE = FOLDER / "base"
KSERVE = FOLDER / "overlays" / "kserve"

Resource = dict[str, Any]


def read(path: Path) -> list[Resource]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def resource(folder: Path, kind: str, name: str) -> Resource:
    """Return the one resource of a kind and name in a folder's files."""
    (found,) = (
        each
        for path in sorted(folder.glob("*.yaml"))
        for each in read(path)
        if each.get("kind") == kind and each["metadata"]["name"] == name
    )
    return found


def pods() -> dict[str, Resource]:
    """Return the pod specifications that we write, by the file they are in."""
    base = {
        name: resource(BASE, "Deployment", name)["spec"]["template"]["spec"]
        for name in ("gateway", "worker")
    }
    predictor = resource(KSERVE, "InferenceService", "fcnserve")["spec"]["predictor"]
    return {**base, "kserve": predictor}


def containers(pod: Resource) -> list[Resource]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def settings(*kustomizations: Path) -> dict[str, str]:
    """Return the variables of the files' ConfigMaps, each over those of the files before."""
    literals = [
        literal
        for path in kustomizations
        for generator in read(path)[0].get("configMapGenerator", ())
        for literal in generator["literals"]
    ]
    return dict(literal.split("=", 1) for literal in literals)


def all_settings() -> Iterator[tuple[str, dict[str, str]]]:
    """Give each overlay's and component's settings, over those of the base, by its folder."""
    base = BASE / "kustomization.yaml"
    for path in sorted(FOLDER.glob("[co]*/*/kustomization.yaml")):
        under = [] if path.parent == KSERVE else [base]
        yield path.parent.name, settings(*under, path)
