"""The knee: the highest load that the service sustains, and the resource that saturates first.

Figures of load stages in, a stage or a sentence out. Called by `loadtest.capacity.conclusion` and
`loadtest.capacity.report`.
"""

from collections.abc import Iterator, Mapping, Sequence

from loadtest.capacity.figures import CLIENT, StageFigures

KEPT_UP = 0.95  # of the requests due, answered in the same stage
ERRORS_ALLOWED = 0.001
SATURATED = 0.85  # of the machine's cores: in practice no more can be used
HALF = 0.5


def find_knee(steps: Sequence[StageFigures], limit_ms: float) -> StageFigures | None:
    """Return the last step before the first that is not sustained; None where that is the first."""
    knee = None
    for step in steps:
        if not is_sustained(step, limit_ms):
            break
        knee = step
    return knee


def is_sustained(step: StageFigures, limit_ms: float) -> bool:
    """Whether the requests of a step are answered, correctly and in time."""
    return (
        step.answered >= KEPT_UP * step.offered
        and step.error_share <= ERRORS_ALLOWED
        and step.ms["p99"] <= limit_ms
    )


def saturation_text(step: StageFigures, cores: int, gateways: int) -> str:
    """Write a sentence about the resource with the smallest reserve at a step."""
    shares = dict(used_shares(step, cores, gateways))
    if shares.get(CLIENT, 0.0) < SATURATED and not shares.keys() - {CLIENT}:
        return "The service runs elsewhere: its processes are not visible from here."
    uses = ", ".join(f"{name} {cpu:.2f}" for name, cpu in step.usage.cpu.items())
    detail = f"({uses} cores, of {cores}; the machine {step.usage.machine_cpu:.2f})"
    most = max(step.usage.cpu, key=lambda name: step.usage.cpu[name])
    if step.usage.machine_cpu >= SATURATED * cores:
        return f"The processors saturate first, and the {most} use most of them {detail}."
    name = max(shares, key=lambda name: shares[name])
    if shares[name] < HALF:
        return f"No processor is the limit {detail}."
    return f"The {name} has the smallest reserve: {shares[name]:.0%} of its limit used {detail}."


def used_shares(step: StageFigures, cores: int, gateways: int) -> Iterator[tuple[str, float]]:
    """Yield each process's share of its limit: one core for a gateway process and the client."""
    limits: Mapping[str, int] = {"gateway": gateways, CLIENT: 1}
    for name, cpu in step.usage.cpu.items():
        yield name, cpu / limits.get(name, cores)
