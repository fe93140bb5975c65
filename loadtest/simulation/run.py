"""`make simulate`: a hundred workers and ten gateways, in virtual time.

Wiring and options. The dispatcher and the planner are the service's own; times are those of
`loadtest.simulation.costs`. What is not simulated: networks, DNS, health probes, memory, clients
that wait for their answers.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from loadtest.command_line import RESULTS, print_progress
from loadtest.report.machine import environment_facts
from loadtest.report.markdown import fact_list, number, table
from loadtest.report.result_files import write_result
from loadtest.simulation.cluster import Scenario, simulate
from loadtest.simulation.costs import costs_of
from loadtest.simulation.figures import Figures, Prices, figures_of
from loadtest.simulation.worker import WorkerSize

GPU_POD = WorkerSize(python_workers=3, codec_threads=2, processors=8, batch_images=16)
CPU_POD = WorkerSize(python_workers=4, codec_threads=1, processors=4, batch_images=8)
# times as slow as the estimate of docs/gpu.md: a hundred such GPUs are busy at 50,000 masks/s
SLOW_GPU = 2.5
HEADINGS = (
    *("scenario", "masks/s", "p50 ms", "p99 ms", "refused %", "failed", "TorchServe full"),
    *("GPUs %", "Python workers %", "pods' processors %", "gateways %", "fullest"),
    *("most images / median", "slow worker / median", "cost a million"),
)


def scenarios(seconds: float, per_s: float, scale: float) -> list[Scenario]:
    """Return all scenarios; `scale` makes each smaller, load and machines alike."""
    workers, gateways = round(100 * scale), max(1, round(10 * scale))
    fast = Scenario(
        "GPUs as estimated",
        *(workers, gateways, 8, per_s * scale, seconds, GPU_POD, costs_of("gpu")),
    )
    busy = replace(fast, name="slower GPUs", costs=costs_of("gpu", SLOW_GPU))
    few = max(1, round(3 * scale))
    return [
        fast,
        busy,
        replace(busy, name="slower GPUs, 3 % a third as fast", slow_workers=few),
        replace(busy, name="slower GPUs, 3 % killed", killed_workers=few),
        replace(busy, name="slower GPUs, 6 processes a gateway", processes=6),
        replace(busy, name="slower GPUs, twice the gateways", gateways=2 * gateways),
        Scenario(
            "processors, as measured",
            *(workers, gateways, 4, 0.36 * per_s * scale, seconds, CPU_POD, costs_of("cpu")),
        ),
    ]


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Simulated, after the warm-up.")] = 0.5,
    per_s: Annotated[float, typer.Option(min=1, help="Masks per second of GPUs.")] = 50_000,
    scale: Annotated[float, typer.Option(min=0.02, help="Of load and machines.")] = 1.0,
    only: Annotated[str, typer.Option(help="Scenarios whose names contain this.")] = "",
    worker_price: Annotated[float, typer.Option(help="Of a worker's pod, an hour.")] = 2.0,
    processor_price: Annotated[float, typer.Option(help="Of a gateway's processor.")] = 0.04,
    out: Annotated[Path, typer.Option(help="Folder for .json and .md.")] = RESULTS,
) -> None:
    """Simulate many workers and gateways with the real dispatcher, in virtual time."""
    prices = Prices(worker_price, processor_price)
    found = []
    for scenario in scenarios(seconds, per_s, scale):
        if only in scenario.name:
            print_progress(f"{scenario.name}: {scenario.per_s:.0f} masks/s ...")
            found.append(figures_of(scenario, simulate(scenario), prices))
    facts = environment_facts() | {"seconds": seconds, "scale": scale, "prices": asdict(prices)}
    page = f"# Simulation\n\n{fact_list(facts)}\n\n{table_of(found)}\n\n{NOTES}"
    write_result(out / "simulation", page, facts | {"figures": [asdict(each) for each in found]})
    typer.echo(page)


def table_of(found: Sequence[Figures]) -> str:
    return table([row(each) for each in found], HEADINGS, left=("scenario", "fullest"))


def row(figures: Figures) -> list[str]:
    shares = (
        *(figures.gpu_busy, figures.python_workers_busy),
        *(figures.processors_busy, figures.gateways_busy),
    )
    return [
        figures.name,
        *(number(each, 0) for each in (figures.masks_per_s, figures.p50_ms, figures.p99_ms)),
        number(100 * figures.refused_share, 2),
        *(str(figures.failed), str(figures.queue_full)),
        *(number(100 * share, 0) for share in shares),
        figures.fullest,
        *(number(each, 2) for each in (figures.images_max_to_median, figures.slow_share)),
        number(figures.cost_per_million, 2),
    ]


NOTES = """\
In virtual time, with the service's own dispatcher and planner. CPU milliseconds around the network
are measured (front.json, and the choice between replicas), and so are the passes of `processors`;
the passes of GPUs are assumed: 0.2 ms and 2.5 ns a pixel as estimated, 2.5 times as much for slower
ones. Arrivals are random and independent of the answers. Prices are parameters: a currency's units
an hour.
"""


if __name__ == "__main__":
    typer.run(main)
