"""Which passes that photos may share give each one's bits, and what the promise costs.

`python -m loadtest.experiments.invariance [--model FOLDER] [--architecture fcn8s-vgg16] [--device
cuda]` runs every (canvas, number of photos) of the model's ladder, once with kernels chosen by rule
and once with kernels chosen by timing them; scores are compared with lone passes', passes timed,
and the kernels of one pass named. An `--architecture` takes random weights: they change neither.
Prints a table, writes Markdown and JSON.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch.profiler import ProfilerActivity, profile

from handlers.model_config import BatchSize, ModelConfig, load_config
from handlers.net.options import ARCHITECTURE_PARTS
from handlers.runtime.device import choose_device, lacks_memory
from handlers.runtime.network import BACKBONE, Network, build_net
from handlers.runtime.warm_up import canvases, pass_ms, passes, photo_of, rounds, trial_frames
from handlers.shared.frame import Frame
from loadtest.benchmark.report import number, table
from loadtest.benchmark.run import MODEL, RESULTS
from loadtest.measure.machine import hardware, revision, versions

REPEATS = 5
KERNELS_NAMED = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A pass in one mode, and how its scores compare with those of lone passes."""

    differing: int
    largest_change: float  # of a score, as a part of the largest one
    ms: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass that photos may share, with kernels chosen by rule, and by timing them."""

    canvas: Frame
    images: int
    exact: Found
    autotuned: Found


def survey(config: ModelConfig, folder: Path, device: str, largest: int) -> list[Pass]:
    """Run all passes in both modes; they cannot take turns, since a mode is the process's."""
    by_mode = {exact: try_all(config, folder, device, largest, exact) for exact in (True, False)}
    return [
        Pass(canvas, images, one, by_mode[False][canvas, images])
        for (canvas, images), one in sorted(by_mode[True].items())
        if (canvas, images) in by_mode[False]
    ]


def try_all(
    config: ModelConfig, folder: Path, device: str, largest: int, exact: bool
) -> dict[tuple[Frame, int], Found]:
    network = network_of(config, folder, device, exact=exact)
    batching = config.batching
    found: dict[tuple[Frame, int], Found] = {}
    sizes = BatchSize(cpu=largest, cuda=largest)
    for canvas, images in passes(network, batching.model_copy(update={"batch_size": sizes})):
        try:
            found[canvas, images] = try_one(network, canvas, images)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
    return found


def network_of(config: ModelConfig, folder: Path, device: str, *, exact: bool) -> Network:
    batching = config.batching.model_copy(update={"exact": exact})
    place = choose_device(0 if device == "cuda" else None, config.precision)
    return Network.on(place, config.model_copy(update={"batching": batching}), folder)


def try_one(network: Network, canvas: Frame, images: int) -> Found:
    photos = [photo_of(frame) for frame in trial_frames(canvas, network)]
    alone = [network.scores([photo], network.frame(photo.shape[:2]))[0] for photo in photos]
    network.prepare(images, canvas)
    changes = []
    for places in rounds(images):
        company = [photos[place] for place in places]
        changes += [
            ((one - alone[place]).abs().max() / one.abs().max()).item()
            for place, one in zip(places, network.scores(company, canvas), strict=True)
        ]
    ms = pass_ms(network, company, canvas, REPEATS)
    return Found(sum(change > 0 for change in changes), max(changes), ms)


def kernels(network: Network, canvas: Frame, images: int) -> list[str]:
    """Name what took longest in a pass: algorithms, where the library tells."""
    photos = [photo_of(canvas)] * images
    network.scores(photos, canvas)
    activities = [ProfilerActivity.CPU]
    if network.device.kind == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as seen:
        network.scores(photos, canvas)
        network.synchronise()
    times = Counter[str]()
    for event in seen.key_averages():
        if network.device.kind == "cpu":
            times[event.key] += int(event.self_cpu_time_total)
        elif event.device_type.name == "CUDA":
            times[event.key] += int(event.self_device_time_total)
    return [f"{name} {us / 1000:.2f} ms" for name, us in times.most_common(KERNELS_NAMED)]


def with_random_weights(architecture: str, folder: Path) -> ModelConfig:
    """Write a model folder for `architecture`, like the one that comes with the project."""
    told = load_config(MODEL).model_dump(mode="json", exclude={"lite", "vgg16"})
    config = ModelConfig.model_validate(told | {"architecture": architecture})
    torch.manual_seed(0)
    state = build_net(config).state_dict()
    plain = {name.removeprefix(BACKBONE): value.contiguous() for name, value in state.items()}
    save_file(plain, folder / config.weights)
    return config


def page(passes: Sequence[Pass], about: dict[str, object]) -> str:
    """Write the table of all passes, and what the promise costs."""
    rows = [
        (
            f"{one.canvas.width}x{one.canvas.height}",
            str(one.images),
            same(one.exact),
            number(one.exact.ms, 2),
            number(1000 * one.images / one.exact.ms, 0),
            same(one.autotuned),
            number(one.autotuned.ms, 2),
            number(one.autotuned.ms / one.exact.ms, 2),
        )
        for one in passes
    ]
    headings = ("canvas", "photos", "exact", "ms", "photos/s", "exact, tuned", "ms, tuned", "ratio")
    told = "\n".join(f"- {name}: {value}" for name, value in about.items())
    exact = sum(not one.exact.differing for one in passes)
    return (
        f"# Shared passes: {exact} of {len(passes)} give the bits of lone ones\n\n{told}\n\n"
        f"{table(rows, headings)}\n"
    )


def same(found: Found) -> str:
    return f"no, {found.largest_change:.0e}" if found.differing else "yes"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURE_PARTS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--photos", type=int, default=16, help="at most so many share a pass")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with TemporaryDirectory() as made:
        folder = arguments.model if not arguments.architecture else Path(made)
        config = (
            with_random_weights(arguments.architecture, folder)
            if arguments.architecture
            else load_config(folder)
        )
        found = survey(config, folder, arguments.device, arguments.photos)
        network = network_of(config, folder, arguments.device, exact=True)
        largest = canvases(config.batching.ladder.on(network.device.kind))[-1]
        named = kernels(network, largest, 2)
    about: dict[str, object] = {
        "network": config.architecture,
        "precision": network.device.precision,
        "hardware": hardware(network.device),
        "versions": versions(),
        "revision": revision(),
        "kernels": named,
    }
    text = page(found, about)
    stem = arguments.out / f"invariance-{arguments.device}-{config.architecture}"
    stem.with_suffix(".md").write_text(text)
    raw = about | {"passes": [asdict(one) for one in found]}
    stem.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
