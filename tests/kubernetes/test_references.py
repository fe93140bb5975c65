"""What a resource names by a string exists: no tool finds a name that is wrong before a cluster."""

from collections.abc import Iterator

import pytest

from tests.support.manifests import Resource, containers

# made by hand, from keys and certificates that no repository has (docs/kubernetes.md)
SECRETS = {"api-keys", "gateway-tls"}
SELECTING = {"Service", "PodDisruptionBudget", "ServiceMonitor"}


def names(resources: list[Resource], *kinds: str) -> set[str]:
    return {each["metadata"]["name"] for each in resources if each["kind"] in kinds}


def pods(resources: list[Resource]) -> Iterator[tuple[dict[str, str], Resource]]:
    """Give the labels and the specification of each pod."""
    for each in resources:
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
            yield template["metadata"]["labels"], template["spec"]
        if each["kind"] == "InferenceService":
            label = {"serving.kserve.io/inferenceservice": each["metadata"]["name"]}
            yield label, each["spec"]["predictor"]


def selector(resource: Resource) -> dict[str, str]:
    chosen = resource["spec"]["selector"]
    labels: dict[str, str] = chosen.get("matchLabels", chosen)
    return labels


def test_settings_and_volumes_of_a_pod_exist(resources: list[Resource]) -> None:
    for _, pod in pods(resources):
        settings = [
            source["configMapRef"]["name"]
            for container in containers(pod)
            for source in container["envFrom"]
        ]
        assert len({*settings}) == 1
        assert {*settings} <= names(resources, "ConfigMap")
        volumes = {each["name"] for each in pod["volumes"]}
        for volume in pod["volumes"]:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or claim in names(resources, "PersistentVolumeClaim")
            assert volume.get("secret", {}).get("secretName", "api-keys") in SECRETS
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_selectors_find_pods(resources: list[Resource]) -> None:
    labels = [found.items() for found, _ in pods(resources)]
    for each in resources:
        if each["kind"] in SELECTING:
            assert sum(selector(each).items() <= found for found in labels) == 1, each
        if each["kind"] == "NetworkPolicy":
            chosen = each["spec"]["podSelector"].get("matchLabels", {})
            assert any(chosen.items() <= found for found in labels), each


def test_a_deployment_has_replicas_or_an_autoscaler(
    resources: list[Resource],
) -> None:
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in resources
        if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    }
    deployments = {
        each["metadata"]["name"]: each["spec"] for each in resources if each["kind"] == "Deployment"
    }
    assert scaled <= {*deployments}
    for name, spec in deployments.items():
        assert ("replicas" in spec) is (name not in scaled)


def test_names_of_ports_exist(resources: list[Resource]) -> None:
    services = {each["metadata"]["name"]: each for each in resources if each["kind"] == "Service"}
    for labels, pod in pods(resources):
        ports = {port["name"] for each in containers(pod) for port in each["ports"]}
        for service in services.values():
            if selector(service).items() <= labels.items():
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    monitored = {
        (each["metadata"]["name"], endpoint["port"])
        for each in resources
        if each["kind"] == "ServiceMonitor"
        for endpoint in each["spec"]["endpoints"]
    }
    for name, port in monitored:
        assert port in {each["name"] for each in services[name]["spec"]["ports"]}


def test_everything_is_in_the_namespace(resources: list[Resource]) -> None:
    for each in resources:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "fcnserve", each


def test_images_are_ours(resources: list[Resource]) -> None:
    images = {container["image"] for _, pod in pods(resources) for container in containers(pod)}
    assert {image.partition(":")[0] for image in images} == {"fcnserve-gateway", "fcnserve-worker"}
    assert all(":" in image for image in images)


@pytest.mark.parametrize("overlay", ["gpu", "keda"])
def test_workers_with_gpus_have_one_and_the_build_for_it(
    built: dict[str, list[Resource]], overlay: str
) -> None:
    (worker,) = (
        container
        for _, pod in pods(built[overlay])
        for container in containers(pod)
        if container["name"] == "worker"
    )
    assert worker["image"].endswith("-cuda")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
