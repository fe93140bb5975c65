"""Writes the alerts and recording rules as a PrometheusRule for the Prometheus operator.

In: `deploy/prometheus/rules`. Out: `components/monitoring/prometheus-rule.yaml`, which a test
compares. A cluster's Prometheus has other targets, too: selectors of metrics that any program may
have are limited to our namespace. Run by `python -m deploy.kubernetes.rules`.
"""

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER.parent / "prometheus" / "rules"
WRITTEN = FOLDER / "components" / "monitoring" / "prometheus-rule.yaml"
HEADER = (
    "# Written by `python -m deploy.kubernetes.rules` from deploy/prometheus/rules: change those.\n"
)
NAMESPACE = 'namespace="fcnserve"'
# true after each scaling down; kube-state-metrics knows how many there should be
LEFT_OUT = {"ReplicaMissing"}
# metrics of Prometheus and its clients, and TorchServe's; strings are in matchers alone
MATCHERS = r"\{[^}]*\}"
COMMON = re.compile(rf"\b(up|(?:process|python|ts)_\w+)\b({MATCHERS})?|{MATCHERS}")


def prometheus_rule() -> dict[str, Any]:
    """Return the resource, with the groups of all files in the order of the files' names."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in LEFT_OUT]
        for rule in group["rules"]:
            rule["expr"] = in_namespace(rule["expr"])
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "fcnserve"},
        "spec": {"groups": groups},
    }


def in_namespace(expr: str) -> str:
    """Limit the selectors of common metrics in a PromQL expression to our namespace."""

    def limited(found: re.Match[str]) -> str:
        if not found[1]:  # the matchers of another metric
            return found[0]
        matchers = (found[2] or "{}")[1:-1].strip().rstrip(",")
        return f"{found[1]}{{{', '.join(filter(None, (matchers, NAMESPACE)))}}}"

    return COMMON.sub(limited, expr)


def text() -> str:
    return HEADER + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=1000)


if __name__ == "__main__":
    WRITTEN.write_text(text())
