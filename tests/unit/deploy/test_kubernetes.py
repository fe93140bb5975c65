"""The manifests for Kubernetes agree with the code; no kubectl is needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kubernetes.rules import LEFT_OUT, NAMESPACE, RULES, WRITTEN, in_namespace, text
from service.healthcheck import PROBES
from service.server.supervisor import STOP_MARGIN_S
from service.settings import Settings
from service.worker.run import START_TIMEOUT_S
from service.worker.torchserve import STOP_GRACE_S
from tests.support.manifests import (
    BASE,
    FOLDER,
    KSERVE,
    ROOT,
    all_settings,
    containers,
    pods,
    read,
    resource,
    settings,
)
from tests.support.promql import known_metrics, metric_names

PODS = pods()
SETTINGS = dict(all_settings())
CONTAINERS = {
    f"{pod}: {container['name']}": container
    for pod, spec in PODS.items()
    for container in containers(spec)
}
PORTS = {
    "http": "port",
    "http1": "port",
    "inference": "worker_port",
    "torchserve": "worker_metrics_port",
    "status": "worker_status_port",
}
PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
CPU, KEDA = FOLDER / "overlays/cpu", FOLDER / "overlays/keda"
TMP = "/tmp"  # noqa: S108 - in the containers


def load(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()


def seconds(probe: dict[str, Any]) -> int:
    return int(probe["periodSeconds"] * probe["failureThreshold"])


def part(container: dict[str, Any]) -> str:
    return "gateway" if "gateway" in container["image"] else "worker"


@pytest.mark.parametrize("folder", SETTINGS)
def test_settings_are_known_and_valid(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, SETTINGS[folder])


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_port_is_the_one_that_the_code_listens_on(container: dict[str, Any]) -> None:
    for port in container["ports"]:
        assert port["containerPort"] == Settings.model_fields[PORTS[port["name"]]].default


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_is_started_when_its_health_check_says_so(container: dict[str, Any]) -> None:
    variable, _, path = PROBES[part(container)]
    probe = container["startupProbe"]["httpGet"]
    assert probe["path"] == path
    assert f"FCNSERVE_{PORTS[probe['port']].upper()}" == variable


def test_readiness_follows_the_routes_that_say_it() -> None:
    paths = {
        f"{part(container)}{container['readinessProbe']['httpGet']['path']}"
        for container in CONTAINERS.values()
        if "readinessProbe" in container
    }
    assert paths == {"gateway/readyz", "worker/healthz"}


def test_a_worker_may_start_as_long_as_its_supervisor_waits() -> None:
    for container in CONTAINERS.values():
        if part(container) == "worker":
            assert seconds(container["startupProbe"]) > START_TIMEOUT_S


@pytest.mark.parametrize("folder", SETTINGS)
def test_a_gateway_has_time_to_drain(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = load(monkeypatch, SETTINGS[folder])
    needed_s = chosen.drain_delay_s + chosen.shutdown_grace_s + STOP_MARGIN_S
    assert chosen.shutdown_grace_s > chosen.timeout_ms / 1000
    if folder == "kserve":  # the worker ends after the gateway
        assert PODS["kserve"]["terminationGracePeriodSeconds"] > (
            needed_s + chosen.worker_drain_s + STOP_GRACE_S
        )
    assert PODS["gateway"]["terminationGracePeriodSeconds"] > needed_s


@pytest.mark.parametrize("folder", SETTINGS)
def test_a_worker_has_time_to_drain(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drain_s = load(monkeypatch, SETTINGS[folder]).worker_drain_s
    assert drain_s > 0
    assert PODS["worker"]["terminationGracePeriodSeconds"] > drain_s + STOP_GRACE_S


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_has_the_user_of_the_images_and_no_access_to_the_cluster(pod: dict[str, Any]) -> None:
    identity = pod["securityContext"]
    for name in ("gateway", "worker"):
        dockerfile = (ROOT / f"deploy/{name}.Dockerfile").read_text()
        assert f"USER {identity['runAsUser']}:{identity['runAsGroup']}\n" in dockerfile
    assert identity["runAsNonRoot"]
    assert identity["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "their variables would be taken for settings"


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_is_hardened_and_has_a_folder_to_write_to(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert TMP in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_only_gateways_reach_torchserve() -> None:
    policy = resource(BASE, "NetworkPolicy", "worker")["spec"]
    senders = [rule["from"] for rule in policy["ingress"] if {"port": "inference"} in rule["ports"]]
    gateway = {"app.kubernetes.io/name": "fcnserve", "app.kubernetes.io/component": "gateway"}
    assert senders == [[{"podSelector": {"matchLabels": gateway}}]]
    assert policy["egress"] == []
    denied = resource(BASE, "NetworkPolicy", "default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_in_a_pod_of_kserve_torchserve_has_no_port() -> None:
    variables = SETTINGS["kserve"]
    assert variables["FCNSERVE_TORCHSERVE_URL"] == f"unix:{variables['FCNSERVE_WORKER_SOCKET']}"
    socket = Path(variables["FCNSERVE_WORKER_SOCKET"]).parent
    for container in containers(PODS["kserve"]):
        assert str(socket) in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "inference" not in {port["name"] for port in container["ports"]}


def test_gateways_find_workers_by_the_name_of_their_headless_service() -> None:
    service = resource(BASE, "Service", "worker")
    port = {each["name"]: each["port"] for each in service["spec"]["ports"]}["inference"]
    url = settings(BASE / "kustomization.yaml")["FCNSERVE_TORCHSERVE_URL"]
    assert url == f"http://{service['metadata']['name']}:{port}"
    assert service["spec"]["clusterIP"] == "None"


def test_a_worker_on_processors_has_as_many_threads_as_it_requests_processors() -> None:
    worker = read(CPU / "worker.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
    kserve = containers(PODS["kserve"])[0]
    for folder, resources in (("cpu", worker["resources"]), ("kserve", kserve["resources"])):
        threads = int(SETTINGS[folder]["FCNSERVE_WORKERS"])
        threads *= int(SETTINGS[folder]["FCNSERVE_THREADS"])
        assert resources["requests"]["cpu"] == resources["limits"]["cpu"] == str(threads)


def test_the_ingress_lets_the_largest_body_and_the_longest_request_pass() -> None:
    (ingress,) = read(FOLDER / "components/ingress/ingress.yaml")
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    options = {
        name.removeprefix(prefix): value
        for name, value in ingress["metadata"]["annotations"].items()
    }
    most_bytes = Settings.model_fields["max_batch_body_bytes"].default
    assert options["body-size"] == f"{most_bytes // 1_000_000}m"
    most_s = Settings.model_fields["max_timeout_ms"].default / 1000
    assert int(options["read-timeout"]) > most_s


def test_the_jobs_are_those_that_rules_and_dashboards_select() -> None:
    monitors = [
        each["spec"].get("endpoints") or each["spec"]["podMetricsEndpoints"]
        for path in (
            FOLDER / "components/monitoring/service-monitors.yaml",
            KSERVE / "pod-monitor.yaml",
        )
        for each in read(path)
    ]
    endpoints = [endpoint for each in monitors for endpoint in each]
    jobs = [relabeling["replacement"] for each in endpoints for relabeling in each["relabelings"]]
    scraped = {each["job_name"] for each in PROMETHEUS["scrape_configs"]} - {"prometheus"}
    assert sorted(jobs) == sorted(2 * [*scraped])
    interval = PROMETHEUS["global"]["scrape_interval"]
    assert {each["interval"] for each in endpoints} == {interval}


def test_the_rules_are_those_of_prometheus() -> None:
    assert WRITTEN.read_text() == text(), "run python -m deploy.kubernetes.rules"
    names = {
        rule.get("alert") or rule["record"]
        for group in yaml.safe_load(text())["spec"]["groups"]
        for rule in group["rules"]
    }
    written = "".join(path.read_text() for path in RULES.glob("*.yml"))
    assert names | LEFT_OUT == set(re.findall(r"- (?:alert|record): (\S+)", written))


def test_selectors_of_common_metrics_are_limited_to_our_namespace() -> None:
    assert in_namespace("up == 0") == f"up{{{NAMESPACE}}} == 0"
    expr = 'changes(process_start_time_seconds{job="worker"}[15m]) > 0 or a:up_b{c="up"}'
    assert in_namespace(expr) == expr.replace('"worker"', f'"worker", {NAMESPACE}')


def test_every_dashboard_is_in_the_config_map() -> None:
    (kustomization,) = read(ROOT / "deploy/grafana/kustomization.yaml")
    (generator,) = kustomization["configMapGenerator"]
    dashboards = (ROOT / "deploy/grafana/dashboards").glob("*.json")
    assert sorted(generator["files"]) == sorted(f"dashboards/{path.name}" for path in dashboards)


def queries() -> list[str]:
    """The queries of the autoscalers: KEDA's, prometheus-adapter's and KServe's."""
    objects = read(KEDA / "scaled-objects.yaml")
    triggers = [trigger["metadata"] for each in objects for trigger in each["spec"]["triggers"]]
    (adapter,) = read(FOLDER / "components/hpa/prometheus-adapter-values.yaml")
    metrics = PODS["kserve"]["autoScaling"]["metrics"]
    return [
        *(trigger["query"] for trigger in triggers if "query" in trigger),
        *(rule["metricsQuery"] for rule in adapter["rules"]["external"]),
        *(metric["external"]["metric"]["query"] for metric in metrics),
    ]


def test_autoscalers_read_metrics_that_exist_in_our_namespace() -> None:
    for query in queries():
        assert metric_names(query)
        assert metric_names(query) - known_metrics() == set()
        assert query.count("{") == query.count(NAMESPACE)


def test_the_autoscalers_read_the_same() -> None:
    first, second, *others = queries()
    assert others == [first, second, first]


def test_the_autoscaler_without_keda_reads_the_metrics_that_the_adapter_serves() -> None:
    (adapter,) = read(FOLDER / "components/hpa/prometheus-adapter-values.yaml")
    served = [rule["name"]["as"] for rule in adapter["rules"]["external"]]
    worker = resource(FOLDER / "components/hpa", "HorizontalPodAutoscaler", "worker")
    metrics = [each["external"]["metric"]["name"] for each in worker["spec"]["metrics"]]
    assert metrics == served
