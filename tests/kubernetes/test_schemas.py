"""Every resource is valid: Kubernetes' own by its schemas, without an unknown field, and those of
operators by models made from their schemas.
"""

from importlib import import_module
from typing import Any

import kubernetes_validate
import pytest

from tests.support.manifests import Resource

# in releases whose clusters may be in use
VERSIONS = ("1.31", "1.37")
# a model leaves out what it does not know, so what it writes has to be what it read
MODELS = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
KSERVE = "serving.kserve.io/v1beta1"
# what a predictor has beside the fields of a pod (KServe's ComponentExtensionSpec)
PREDICTOR = {"minReplicas", "maxReplicas", "autoScaling"}


def invalid(resource: Resource, version: str) -> str:
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{resource['kind']} {resource['metadata']['name']}: {error.message}"
    return ""


def read_again(resource: Resource) -> Any:
    """Return what the operator's model knows of a resource. Raises pydantic's ValidationError."""
    model = getattr(import_module(MODELS[resource["apiVersion"]]), resource["kind"])
    known = model.model_validate(resource)
    return known.model_dump(mode="json", by_alias=True, exclude_unset=True)


def is_builtin(resource: Resource) -> bool:
    return resource["apiVersion"] not in {*MODELS, KSERVE}


@pytest.mark.parametrize("version", VERSIONS)
def test_resources_of_kubernetes_are_valid(resources: list[Resource], version: str) -> None:
    found = [invalid(each, version) for each in resources if is_builtin(each)]
    assert found
    assert [each for each in found if each] == []


def test_resources_of_operators_are_valid(resources: list[Resource]) -> None:
    for resource in resources:
        if resource["apiVersion"] in MODELS:
            assert read_again(resource) == resource


def test_a_predictor_of_kserve_is_a_pod_with_replicas(built: dict[str, list[Resource]]) -> None:
    (service,) = (each for each in built["kserve"] if each["apiVersion"] == KSERVE)
    predictor = service["spec"]["predictor"]
    spec = {name: value for name, value in predictor.items() if name not in PREDICTOR}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    assert [invalid(pod, version) for version in VERSIONS] == ["", ""]
    assert {*predictor} >= PREDICTOR
    assert [each["name"] for each in spec["containers"]] == ["kserve-container"]


def test_unknown_fields_are_found(built: dict[str, list[Resource]]) -> None:
    """Else the tests above would prove nothing."""
    scaled = next(each for each in built["keda"] if each["kind"] == "ScaledObject")
    wrong = {**scaled, "spec": {**scaled["spec"], "minReplicas": 1}}
    assert read_again(wrong) != wrong
    deployment = next(each for each in built["cpu"] if each["kind"] == "Deployment")
    assert invalid({**deployment, "spec": {**deployment["spec"], "replica": 1}}, VERSIONS[0])
