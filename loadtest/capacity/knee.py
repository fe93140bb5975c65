"""Where the ground ends: the highest load that is still borne, and what gives out first."""

from collections.abc import Iterator, Mapping, Sequence

from loadtest.capacity.figures import Figures

KEPT_UP = 0.95  # of what was offered, answered meanwhile
ERRORS_ALLOWED = 0.001
USED_UP = 0.85  # of the machine's cores: no more to be had in practice
HALF = 0.5


def find_knee(steps: Sequence[Figures], limit_ms: float) -> Figures | None:
    """The last step before the first that is not borne; None where not even the first is."""
    knee = None
    for step in steps:
        if not is_borne(step, limit_ms):
            break
        knee = step
    return knee


def is_borne(step: Figures, limit_ms: float) -> bool:
    """All that comes is answered, right and in time."""
    return (
        step.answered >= KEPT_UP * step.offered
        and step.error_share <= ERRORS_ALLOWED
        and step.ms["p99"] <= limit_ms
    )


def saturates_first(step: Figures, cores: int, gateways: int) -> str:
    """Say in a sentence what has least to spare at a step."""
    shares = dict(used_shares(step, cores, gateways))
    if shares.get("client", 0.0) < USED_UP and not shares.keys() - {"client"}:
        return "The service runs elsewhere: what saturates first is not to be seen from here."
    uses = ", ".join(f"{name} {cpu:.2f}" for name, cpu in step.meanwhile.cpu.items())
    told = f"({uses} cores, of {cores}; the machine {step.meanwhile.machine_cpu:.2f})"
    most = max(step.meanwhile.cpu, key=lambda name: step.meanwhile.cpu[name])
    if step.meanwhile.machine_cpu >= USED_UP * cores:
        return f"The processors saturate first, and the {most} use most of them {told}."
    name = max(shares, key=lambda name: shares[name])
    if shares[name] < HALF:
        return f"No processor is the limit {told}."
    return f"Of what can be seen, the {name} has least to spare: {shares[name]:.0%} of it {told}."


def used_shares(step: Figures, cores: int, gateways: int) -> Iterator[tuple[str, float]]:
    """Each process's part of the most that it could use: a gateway and the client have one core."""
    ceilings: Mapping[str, int] = {"gateway": gateways, "client": 1}
    for name, cpu in step.meanwhile.cpu.items():
        yield name, cpu / ceilings.get(name, cores)
