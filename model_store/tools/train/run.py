"""A training run: the data and initial weights in, the best weights out.

A run may be stopped, and resumed by the same command. Called by `fcnserve model train`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from handlers.model_config import ModelConfig
from handlers.runtime.device import cpu_threads, prepare_cpu
from model_store.tools.dataset import held_out
from model_store.tools.dataset.labelled import Legend, check_photos
from model_store.tools.dataset.survey import Survey, check_present, check_scored, survey
from model_store.tools.train import checkpoint as checkpoints
from model_store.tools.train.checkpoint import Checkpoint
from model_store.tools.train.data.prefetch import prefetched
from model_store.tools.train.data.sampler import ClassPresence
from model_store.tools.train.data.split import Split
from model_store.tools.train.examples import Examples
from model_store.tools.train.log import Log, LogRow, LossWindow
from model_store.tools.train.options import TrainOptions
from model_store.tools.train.schedule import TrainingStage, rate_factor, stages
from model_store.tools.train.trainer import Trainer
from model_store.tools.train.validation import BEST, START, Validation, ValidationScores
from model_store.tools.weights.initial import at_stride, build_initial
from model_store.tools.weights.write import Tensors

# steps from one row of the log, and from one checkpoint, to the next
LOG_EVERY = 20
SAVE_EVERY = 100


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callbacks of a run."""

    # reads the initial weights; not called by a resumed run
    read_start: Callable[[], Tensors]
    # receives each row of the log
    report: Callable[[LogRow], None] = lambda _row: None
    # called at each step; the run stops once it returns True
    stopping: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The steps done; the best mean IoU on the held-out photos, and that of the initial weights."""

    step: int
    best: float
    start: float


def check_masks(train: Survey, val: Survey, options: TrainOptions) -> None:
    """Raise DataError for masks with which a class is not trained, or nothing is scored."""
    if not options.allow_absent:
        check_present(train, val)
    check_scored(val)


class TrainingRun:
    """One run in its folder."""

    def __init__(self, config: ModelConfig, split: Split, options: TrainOptions, run: Path) -> None:
        """Read all masks; raises DataError, before anything is written."""
        prepare_cpu(options.threads or cpu_threads())
        torch.manual_seed(options.seed)
        self.config, self.options, self.run = config, options, run
        check_photos([*split.train, *split.val])
        self.masks = survey([*split.train, *split.val], Legend.of(config))
        train = self.masks.part(slice(len(split.train)))
        check_masks(train, self.masks.part(slice(len(split.train), None)), options)
        run.mkdir(parents=True, exist_ok=True)
        held_out.write_lists(split.val, run)
        legend = self.masks.legend
        self._examples = Examples(split.train, config, options, ClassPresence.of(train), legend)
        self._validation = Validation(split.val, legend, run, options.device)
        self._losses = LossWindow()
        self._best = self._start = checkpoints.NO_SCORE
        self._stopped = False

    def train(self, hooks: Hooks) -> TrainingResult:
        """Take the remaining steps, until `hooks` stop the run.

        Raises CheckpointError, ResumeError and DataError.
        """
        saved = checkpoints.load(self.run, self.config, self.options)
        step = saved.step if saved else 0
        self._best = saved.best if saved else checkpoints.NO_SCORE
        self._log = Log.of(self.run, step)
        weights = saved.average if saved else hooks.read_start()
        self._start = saved.start if saved else self._score_start(weights)
        for stage in stages(self.config.architecture, self.options):
            if self._stopped or step >= stage.end:
                continue
            if saved and step > stage.first:
                trainer = self._trainer(stage, saved.weights)
                trainer.resume(saved)
            else:
                trainer = self._trainer(stage, weights)
                self._best = checkpoints.NO_SCORE  # scores of another stride do not compare
            step = self._take_steps(trainer, stage, range(step, stage.end), hooks)
            weights = trainer.average
        return TrainingResult(step, self._best, self._start)

    def _score_start(self, weights: Tensors) -> float:
        """Score the initial weights, and keep them: only better ones may replace them."""
        initial = build_initial(self.config, weights).state_dict()
        scores = self._validation.score(self.config, initial)
        self._validation.keep_as(START)
        return scores.mean_iou

    def _trainer(self, stage: TrainingStage, weights: Tensors) -> Trainer:
        config = at_stride(self.config, stage.stride)
        return Trainer(build_initial(config, weights), self.options)

    def _take_steps(
        self, trainer: Trainer, stage: TrainingStage, steps: range, hooks: Hooks
    ) -> int:
        """Train; returns the number of steps done, which is less than the stage's where stopped."""
        began = time.monotonic()
        for step, batch in prefetched(self._examples.batch, steps):
            self._losses.add(trainer.step(step, batch))
            done = step + 1
            self._stopped = hooks.stopping()
            stops = self._stopped or done == stage.end
            scores = self._validate(trainer, stage, done)
            if done % LOG_EVERY == 0 or stops or scores:
                seconds = time.monotonic() - began
                row = self._losses.row(done, stage, self._rate(step), seconds, scores)
                self._log.add(row)
                hooks.report(row)
                began = time.monotonic()
            if done % SAVE_EVERY == 0 or stops:
                self._save(trainer, done)
            if stops:
                return done
        return stage.end

    def _rate(self, step: int) -> float:
        return self.options.rate * rate_factor(step, self.options)

    def _validate(
        self, trainer: Trainer, stage: TrainingStage, done: int
    ) -> ValidationScores | None:
        """Score the EMA weights where a validation is due, and keep the best."""
        if done % self.options.validate_every and done != stage.end:
            return None
        scores = self._validation.score(at_stride(self.config, stage.stride), trainer.average)
        if scores.mean_iou > self._best:
            self._best = scores.mean_iou
            self._validation.keep_as(BEST)
        return scores

    def _save(self, trainer: Trainer, step: int) -> None:
        states = trainer.net.state_dict(), trainer.average, trainer.optimiser.state_dict()
        checkpoint = Checkpoint(step, *states, self._best, self._start)
        checkpoints.save(checkpoint, self.config, self.options, self.run)
