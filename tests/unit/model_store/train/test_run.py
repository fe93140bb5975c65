"""A training run lowers the loss, resumes exactly, and leaves a model that can be served."""

import shutil
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from handlers.model_config import ModelConfig
from handlers.runtime.weights import build_net, load_net
from model_store.tools.cli import model
from model_store.tools.cli.train import stop_signals
from model_store.tools.convert.state_dict import CheckpointError
from model_store.tools.dataset import toy
from model_store.tools.dataset.held_out import select
from model_store.tools.train.checkpoint import CHECKPOINT_FILE, ResumeError, load
from model_store.tools.train.data.split import split
from model_store.tools.train.log import LOG_FILE, read
from model_store.tools.train.options import TrainOptions, options_of
from model_store.tools.train.run import Hooks, TrainingResult, TrainingRun
from model_store.tools.train.validation import BEST, START
from model_store.tools.weights.initial import build_initial, read_start
from model_store.tools.weights.write import Tensors, write_model
from service.cli.main import app
from tests.support.toys import NARROW_VGG, randomised

# one thread: idle ones would spin, and several tests share a machine
QUICK = TrainOptions(steps=6, batch=2, crop=64, warm_up=0, validate_every=4, threads=1)
STARTER = Path(__file__).parents[4] / "model_store" / "fcn8s-lite0"


def config(architecture: str = "fcn8s-vgg16") -> ModelConfig:
    """Give the configuration of a small network, or of another one."""
    return ModelConfig(
        name="discs",
        architecture=architecture,
        vgg16=NARROW_VGG if architecture.endswith("vgg16") else None,
        classes=toy.CLASSES,
        palette=((0, 0, 0), (255, 255, 0)),
    )


def random_start(architecture: str = "fcn8s-vgg16") -> Tensors:
    return randomised(build_net(config(architecture))).state_dict()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "discs"
    toy.draw_data_set(folder, photos=12)
    return folder


def train(
    data: Path,
    run: Path,
    options: TrainOptions = QUICK,
    stop_after: int = 10**6,
    architecture: str = "fcn8s-vgg16",
) -> TrainingResult:
    steps = count(1)
    hooks = Hooks(lambda: random_start(architecture), stopping=lambda: next(steps) == stop_after)
    return TrainingRun(config(architecture), split(data), options, run).train(hooks)


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in read(run / LOG_FILE)]


def checkpoint_tensors(run: Path) -> Tensors:
    checkpoint = load(run, config(), QUICK)
    assert checkpoint is not None
    averages = {f"average of {name}": value for name, value in checkpoint.average.items()}
    return checkpoint.weights | averages


def test_a_run_trains_discs_apart_from_squares(data: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        steps=50, batch=4, crop=64, warm_up=0, rate=2e-3, average=0.9, validate_every=50, threads=1
    )
    lite = config("fcn8s-lite0")
    run = TrainingRun(lite, split(data), options, tmp_path)
    result = run.train(Hooks(lambda: read_start(str(STARTER), lite)))
    first, *_, last = losses(tmp_path)
    assert last < 0.8 * first
    assert result.best > 0.5  # a mask without a disc has 0.43 at most


def test_a_resumed_run_equals_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "uninterrupted").step == 6
    assert train(data, tmp_path / "parts", stop_after=3).step == 3
    assert train(data, tmp_path / "parts").step == 6
    one, other = (
        checkpoint_tensors(tmp_path / "uninterrupted"),
        checkpoint_tensors(tmp_path / "parts"),
    )
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert losses(tmp_path / "uninterrupted")[-1] == losses(tmp_path / "parts")[-1]


def test_rows_after_the_last_checkpoint_are_dropped_when_the_run_resumes(
    data: Path, tmp_path: Path
) -> None:
    train(data, tmp_path, stop_after=3)
    with (tmp_path / LOG_FILE).open("a") as log:
        log.write("5,8s,1,1,1,,,\n")
    train(data, tmp_path)
    assert [row["step"] for row in read(tmp_path / LOG_FILE)] == ["3", "4", "6"]


def test_a_run_does_not_resume_with_other_options(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, stop_after=1)
    with pytest.raises(ResumeError, match=r"was begun with batch 2 \(now 4\)"):
        train(data, tmp_path, QUICK.model_copy(update={"batch": 4}))


def test_a_run_does_not_resume_with_another_network(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, stop_after=1)
    with pytest.raises(ResumeError, match=r"architecture fcn8s-vgg16 \(now fcn16s-vgg16\)"):
        train(data, tmp_path, architecture="fcn16s-vgg16")


def test_a_run_resumes_with_more_steps(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path)
    assert train(data, tmp_path, QUICK.model_copy(update={"steps": 8})).step == 8


@pytest.mark.parametrize("size", [0, 1000], ids=["empty", "cut"])
def test_a_damaged_checkpoint_is_rejected(data: Path, tmp_path: Path, size: int) -> None:
    train(data, tmp_path, stop_after=1)
    file = tmp_path / CHECKPOINT_FILE
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ResumeError, match="is no checkpoint of a run"):
        train(data, tmp_path)


def test_a_checkpoint_that_would_run_code_is_rejected_without_the_advice_of_torch(
    data: Path, tmp_path: Path
) -> None:
    train(data, tmp_path, stop_after=1)
    torch.save({"options": Path("/")}, tmp_path / CHECKPOINT_FILE)
    with pytest.raises(ResumeError) as error:
        train(data, tmp_path)
    assert "weights_only" not in str(error.value)


def test_the_papers_stages_follow_each_other(data: Path, tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"stages": "paper"})
    train(data, tmp_path, options)
    rows = read(tmp_path / LOG_FILE)
    assert list(dict.fromkeys(row["stage"] for row in rows)) == ["32s", "16s", "8s"]
    load_net(config(), tmp_path / BEST / "weights.safetensors")  # the last stage's


def test_a_run_that_was_stopped_between_stages_resumes_alike(data: Path, tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"stages": "paper"})
    train(data, tmp_path / "uninterrupted", options)
    train(data, tmp_path / "parts", options, stop_after=2)
    train(data, tmp_path / "parts", options)
    assert losses(tmp_path / "uninterrupted") == losses(tmp_path / "parts")


def test_batch_norm_keeps_its_statistics_unless_they_are_trained(
    data: Path, tmp_path: Path
) -> None:
    before = random_start("fcn8s-lite0")["backbone.bn0.running_mean"]
    after = {}
    for choice in ("frozen", "trained"):
        options = QUICK.model_copy(update={"batch_norm": choice, "steps": 1})
        train(data, tmp_path / choice, options, architecture="fcn8s-lite0")
        file = tmp_path / choice / BEST / "weights.safetensors"
        after[choice] = load_file(file)["bn0.running_mean"]
    assert torch.equal(after["frozen"], before)
    assert not torch.equal(after["trained"], before)


def test_score_layers_that_the_start_lacks_are_zero() -> None:
    weights = {name: value for name, value in random_start().items() if "pool3" not in name}
    net = build_initial(config(), weights)
    assert not net.get_parameter("score_pool3.weight").any()
    assert torch.equal(net.get_parameter("score_fr.weight"), weights["score_fr.weight"])


def test_a_start_of_another_backbone_is_rejected() -> None:
    with pytest.raises(CheckpointError, match="weights of the backbone of fcn8s-lite1"):
        build_initial(config("fcn8s-lite1"), random_start("fcn8s-lite0"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "discs", config(), random_start())
    return tmp_path / "discs"


def command(folder: Path, data: Path, *more: str) -> tuple[int, str]:
    arguments = ["train", str(folder), "--data", str(data), "--batch", "2", "--crop", "64", *more]
    result = CliRunner().invoke(model, arguments)
    return result.exit_code, result.output


def test_the_command_puts_the_best_weights_into_the_folder(data: Path, folder: Path) -> None:
    file = folder / "weights.safetensors"
    before = load_file(file)
    code, output = command(folder, data, "--steps", "2")
    assert code == 0, output
    assert "the best of 2 steps: mean IoU" in output
    assert not torch.equal(load_file(file)["conv1_1.weight"], before["conv1_1.weight"])
    load_net(config(), file)


def test_a_run_in_another_folder_writes_its_held_out_lists_beside_the_weights(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    code, output = command(folder, data, "--steps", "2", "--run", str(tmp_path / "elsewhere"))
    assert (code, "the best of 2 steps: mean IoU" in output) == (0, True), output
    shutil.rmtree(tmp_path / "elsewhere")
    names = [pair.name for pair in select(data, None, folder).pairs]
    assert names == [pair.name for pair in split(data).val]


def test_a_run_that_replaced_no_weights_writes_no_lists_beside_them(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    run = str(tmp_path / "elsewhere")
    code, output = command(folder, data, "--steps", "1", "--rate", "1e-12", "--run", run)
    assert (code, "was left as it was" in output) == (0, True), output
    assert len(select(data, None, folder).pairs) == 12


def test_weights_that_are_no_better_do_not_replace_the_initial_ones(
    data: Path, folder: Path
) -> None:
    file = folder / "weights.safetensors"
    before = file.read_bytes()
    code, output = command(folder, data, "--steps", "1", "--rate", "1e-12")
    assert code == 0
    assert "was left as it was: the best of 1 steps has a mean IoU of" in output
    assert file.read_bytes() == before
    assert (folder / "training" / START / file.name).read_bytes() == before
    assert (folder / "training" / BEST / file.name).exists()


def black_and_white(data: Path, to: Path, white: bool = True) -> Path:
    """Copy the data, with masks of 0 and 255, or of 0 alone."""
    shutil.copytree(data, to)
    for file in (to / "masks").iterdir():
        with Image.open(file) as mask:
            values = np.asarray(mask) * (255 if white else 0)
        Image.fromarray(values.astype(np.uint8)).save(file)
    return to


def test_black_and_white_masks_train_as_class_numbers_do(data: Path, tmp_path: Path) -> None:
    binary = black_and_white(data, tmp_path / "binary")
    train(data, tmp_path / "numbers")
    train(binary, tmp_path / "whites")
    assert losses(tmp_path / "numbers") == losses(tmp_path / "whites")


def test_a_class_without_pixels_stops_a_training_before_it_writes_anything(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    black = black_and_white(data, tmp_path / "black", white=False)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    code, output = command(folder, black, "--steps", "1")
    assert code == 1
    assert "no training mask has the class disc; 10 masks: background 100.0%" in output
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    code, output = command(folder, black, "--steps", "1", "--allow-absent")
    assert code == 0, output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--crop", "100"), "--crop 100: Input should be a multiple of 32", id="crop"),
        pytest.param(("--device", "tpu9000"), "is no device; use cpu", id="device"),
    ],
)
def test_an_invalid_option_is_reported_in_a_line(
    data: Path, folder: Path, options: tuple[str, ...], message: str
) -> None:
    code, output = command(folder, data, *options)
    assert code == 1
    assert message in output
    assert len(output.splitlines()) == 1


@pytest.fixture
def handlers_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.usefixtures("handlers_restored")
def test_the_first_signal_is_recorded_and_a_second_would_end_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as received:
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) == before


def test_the_commands_of_the_training_page_lead_to_a_model_that_can_be_packed(
    tmp_path: Path,
) -> None:
    """Run the commands of `docs/training.md`, with fewer steps."""
    data, folder = str(tmp_path / "discs"), str(tmp_path / "models" / "discs")
    held_out = f"{folder}/training/val.txt"
    small = ("--steps", "2", "--batch", "2", "--crop", "64", "--threads", "1")
    for arguments in (
        ("toy", data, "--photos", "11"),
        ("new", folder, "--classes", "background,disc"),
        ("train", folder, "--data", data, *small),
        ("evaluate", folder, "--data", data, "-o", f"{tmp_path}/evaluation"),
        ("check", folder, "--photo", f"{data}/images/toy000.jpg"),
        ("package", folder),
    ):
        result = CliRunner().invoke(app, ["model", *arguments])
        assert result.exit_code == 0, result.output
    assert Path(held_out).read_text() == "toy000\ntoy010\n"
    assert Path(f"{folder}.mar").exists()


@pytest.mark.parametrize(
    ("photos", "steps"), [(9, 300), (200, 1000), (5000, 4000)], ids=["few", "some", "many"]
)
def test_the_default_steps_are_about_forty_epochs(photos: int, steps: int) -> None:
    assert options_of({"steps": None, "batch": 8}, photos).steps == steps
    assert options_of({"steps": 7, "batch": 8}, photos).steps == 7
