"""Which shared passes give each photo the bits of its single pass, and what exactness costs.

`python -m loadtest.experiments.invariance [--model FOLDER] [--architecture fcn8s-vgg16] [--device
cuda]` runs every (canvas, number of photos) of the model's ladder, once with kernels chosen by rule
and once with kernels chosen by timing. It compares the scores with those of single passes, times
the passes, and lists the kernels of one. An `--architecture` takes random weights: they change
neither. Prints a table, writes Markdown and JSON.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch.profiler import ProfilerActivity, profile

from handlers.model_config import BatchSize, ModelConfig, load_config
from handlers.net.options import ARCHITECTURE_PARTS, OPTION_KEYS
from handlers.runtime.device import choose_device
from handlers.runtime.device_errors import Failure, diagnose
from handlers.runtime.load_network import load_network
from handlers.runtime.network import Network
from handlers.runtime.warm_up.passes import canvases, passes
from handlers.runtime.warm_up.run import pass_ms
from handlers.runtime.warm_up.sameness import photo_of, rounds, sample_frames
from handlers.runtime.weights import BACKBONE, build_net
from handlers.shared.frame import Frame
from loadtest.command_line import MODEL, RESULTS
from loadtest.report.machine import environment_facts
from loadtest.report.markdown import number, table
from loadtest.report.result_files import write_result

REPEATS = 5
KERNELS_LISTED = 8


@dataclass(frozen=True, slots=True)
class PassResult:
    """A shared pass in one mode, compared with the single passes of its photos."""

    differing: int
    largest_change: float  # of a score, as a part of the largest one
    ms: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One shared pass, with kernels chosen by rule (exact) and by timing (autotuned)."""

    canvas: Frame
    images: int
    exact: PassResult
    autotuned: PassResult


def survey(config: ModelConfig, folder: Path, device: str, largest: int) -> list[Pass]:
    """Run all passes in both modes, one mode after the other: a mode is set for the process."""
    by_mode = {exact: run_all(config, folder, device, largest, exact) for exact in (True, False)}
    return [
        Pass(canvas, images, one, by_mode[False][canvas, images])
        for (canvas, images), one in sorted(by_mode[True].items())
        if (canvas, images) in by_mode[False]
    ]


def run_all(
    config: ModelConfig, folder: Path, device: str, largest: int, exact: bool
) -> dict[tuple[Frame, int], PassResult]:
    network = network_of(config, folder, device, exact=exact)
    batching = config.batching
    found: dict[tuple[Frame, int], PassResult] = {}
    sizes = BatchSize(cpu=largest, cuda=largest)
    for canvas, images in passes(network, batching.model_copy(update={"batch_size": sizes})):
        try:
            found[canvas, images] = run_pass(network, canvas, images)
        except RuntimeError as error:
            if diagnose(error) is not Failure.no_memory:
                raise
    return found


def network_of(config: ModelConfig, folder: Path, device: str, *, exact: bool) -> Network:
    batching = config.batching.model_copy(update={"exact": exact})
    chosen = choose_device(0 if device == "cuda" else None, config.precision)
    return load_network(chosen, config.model_copy(update={"batching": batching}), folder)


def run_pass(network: Network, canvas: Frame, images: int) -> PassResult:
    photos = [photo_of(frame) for frame in sample_frames(canvas, network)]
    single = [
        network.scores([photo], network.single_canvas(photo.shape[:2]))[0] for photo in photos
    ]
    network.prepare(images, canvas)
    changes = []
    for indices in rounds(range(len(photos)), images):
        batch = [photos[index] for index in indices]
        changes += [
            ((scores - single[index]).abs().max() / scores.abs().max()).item()
            for index, scores in zip(indices, network.scores(batch, canvas), strict=True)
        ]
    ms = pass_ms(network, batch, canvas, REPEATS)
    return PassResult(sum(change > 0 for change in changes), max(changes), ms)


def kernels(network: Network, canvas: Frame, images: int) -> list[str]:
    """List the kernels of a pass that took longest, by algorithm where the library names it."""
    photos = [photo_of(canvas)] * images
    network.scores(photos, canvas)
    activities = [ProfilerActivity.CPU]
    if network.device.kind == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiled:
        network.scores(photos, canvas)
        network.synchronise()
    times = Counter[str]()
    for event in profiled.key_averages():
        if network.device.kind == "cpu":
            times[event.key] += int(event.self_cpu_time_total)
        elif event.device_type.name == "CUDA":
            times[event.key] += int(event.self_device_time_total)
    return [f"{name} {us / 1000:.2f} ms" for name, us in times.most_common(KERNELS_LISTED)]


def with_random_weights(architecture: str, folder: Path) -> ModelConfig:
    """Write a model folder for `architecture`, with the default model's other options."""
    options = load_config(MODEL).model_dump(mode="json", exclude=set(OPTION_KEYS.values()))
    config = ModelConfig.model_validate(options | {"architecture": architecture})
    torch.manual_seed(0)
    weights = build_net(config).state_dict()
    plain = {name.removeprefix(BACKBONE): value.contiguous() for name, value in weights.items()}
    save_file(plain, folder / config.weights)
    return config


def page(passes: Sequence[Pass], facts: dict[str, object]) -> str:
    """Write the table of all passes."""
    rows = [
        (
            f"{one.canvas.width}x{one.canvas.height}",
            str(one.images),
            is_exact(one.exact),
            number(one.exact.ms, 2),
            number(1000 * one.images / one.exact.ms, 0),
            is_exact(one.autotuned),
            number(one.autotuned.ms, 2),
            number(one.autotuned.ms / one.exact.ms, 2),
        )
        for one in passes
    ]
    headings = ("canvas", "photos", "exact", "ms", "photos/s", "exact, tuned", "ms, tuned", "ratio")
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    exact = sum(not one.exact.differing for one in passes)
    return (
        f"# Shared passes: {exact} of {len(passes)} give the bits of single ones\n\n{listed}\n\n"
        f"{table(rows, headings)}\n"
    )


def is_exact(result: PassResult) -> str:
    return f"no, {result.largest_change:.0e}" if result.differing else "yes"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURE_PARTS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--photos", type=int, default=16, help="largest number in a shared pass")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.model if not arguments.architecture else Path(temporary)
        config = (
            with_random_weights(arguments.architecture, folder)
            if arguments.architecture
            else load_config(folder)
        )
        found = survey(config, folder, arguments.device, arguments.photos)
        network = network_of(config, folder, arguments.device, exact=True)
        largest = canvases(config.batching.ladder.on(network.device.kind))[-1]
        listed = kernels(network, largest, 2)
    facts: dict[str, object] = {
        "network": config.architecture,
        "precision": network.device.precision,
        **environment_facts(device=network.device),
        "kernels": listed,
    }
    text = page(found, facts)
    stem = arguments.out / f"invariance-{arguments.device}-{config.architecture}"
    write_result(stem, text, facts | {"passes": [asdict(one) for one in found]})
    print(text)


if __name__ == "__main__":
    main()
