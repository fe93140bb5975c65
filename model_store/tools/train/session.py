"""A whole run, from the data and a start to the best weights; may be stopped, and goes on later."""

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
from model_store.tools.train import checkpoint as states
from model_store.tools.train.checkpoint import State
from model_store.tools.train.data.prefetch import made_ahead
from model_store.tools.train.data.sampler import Census
from model_store.tools.train.data.split import Split
from model_store.tools.train.examples import Examples
from model_store.tools.train.folder import Tensors
from model_store.tools.train.log import Log, Loss, Row
from model_store.tools.train.options import Options
from model_store.tools.train.schedule import Stage, factor, stages
from model_store.tools.train.start import at_stride, begin
from model_store.tools.train.trainer import Learner
from model_store.tools.train.validation import BEST, START, Look, Validation

# steps from one row of the log, and from one checkpoint, to the next
LOG_EVERY = 20
SAVE_EVERY = 100


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run asks of whoever started it."""

    # weights to begin with; not asked for where a run goes on
    read_start: Callable[[], Tensors]
    # told of each row of the log
    report: Callable[[Row], None] = lambda _row: None
    # asked at each step
    stopping: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a run came; the best mean IoU on the validation photos, and that of the start."""

    step: int
    best: float
    start: float


def check(learned: Survey, looked_at: Survey, options: Options) -> None:
    """Raise DataError for masks that would teach or score nothing."""
    if not options.allow_absent:
        check_present(learned, looked_at)
    check_scored(looked_at)


class Session:
    """One run in its folder."""

    def __init__(self, config: ModelConfig, split: Split, options: Options, run: Path) -> None:
        """Read all masks; raises DataError, before anything is written."""
        prepare_cpu(options.threads or cpu_threads())
        torch.manual_seed(options.seed)
        self.config, self.options, self.run = config, options, run
        check_photos([*split.train, *split.val])
        self.masks = survey([*split.train, *split.val], Legend.of(config))
        learned = self.masks.part(slice(len(split.train)))
        check(learned, self.masks.part(slice(len(split.train), None)), options)
        run.mkdir(parents=True, exist_ok=True)
        held_out.note(split.val, run)
        legend = self.masks.legend
        self._examples = Examples(split.train, config, options, Census.of(learned), legend)
        self._validation = Validation(split.val, legend, run, options.device)
        self._loss = Loss()
        self._best = self._start = states.NONE_YET
        self._stopped = False

    def train(self, hooks: Hooks) -> Outcome:
        """Take the steps that are left, or as many as `hooks` let.

        Raises CheckpointError, ResumeError and DataError.
        """
        state = states.load(self.run, self.config, self.options)
        step = state.step if state else 0
        self._best = state.best if state else states.NONE_YET
        self._log = Log.of(self.run, step)
        weights = state.average if state else hooks.read_start()
        self._start = state.start if state else self._score_start(weights)
        for stage in stages(self.config.architecture, self.options):
            if self._stopped or step >= stage.end:
                continue
            if state and step > stage.first:
                learner = self._learner(stage, state.weights)
                learner.go_on(state)
            else:
                learner = self._learner(stage, weights)
                self._best = states.NONE_YET  # other networks' scores are no measure
            step = self._take_steps(learner, stage, range(step, stage.end), hooks)
            weights = learner.average
        return Outcome(step, self._best, self._start)

    def _score_start(self, weights: Tensors) -> float:
        """Score what the run begins with, and keep it: nothing worse is to take its place."""
        look = self._validation.look(self.config, begin(self.config, weights).state_dict())
        self._validation.keep(START)
        return look.mean_iou

    def _learner(self, stage: Stage, weights: Tensors) -> Learner:
        return Learner(begin(at_stride(self.config, stage.stride), weights), self.options)

    def _take_steps(self, learner: Learner, stage: Stage, steps: range, hooks: Hooks) -> int:
        """Returns the number of steps that are done: fewer where the run is to stop."""
        began = time.monotonic()
        for step, batch in made_ahead(self._examples.batch, steps):
            self._loss.add(learner.step(step, batch))
            done = step + 1
            self._stopped = hooks.stopping()
            stops = self._stopped or done == stage.end
            look = self._look(learner, stage, done)
            if done % LOG_EVERY == 0 or stops or look:
                row = self._loss.row(done, stage, self._rate(step), time.monotonic() - began, look)
                self._log.add(row)
                hooks.report(row)
                began = time.monotonic()
            if done % SAVE_EVERY == 0 or stops:
                self._save(learner, done)
            if stops:
                return done
        return stage.end

    def _rate(self, step: int) -> float:
        return self.options.rate * factor(step, self.options)

    def _look(self, learner: Learner, stage: Stage, done: int) -> Look | None:
        """Score the average, where it is time to, and keep it where it is the best."""
        if done % self.options.validate_every and done != stage.end:
            return None
        look = self._validation.look(at_stride(self.config, stage.stride), learner.average)
        if look.mean_iou > self._best:
            self._best = look.mean_iou
            self._validation.keep(BEST)
        return look

    def _save(self, learner: Learner, step: int) -> None:
        kept = learner.net.state_dict(), learner.average, learner.optimiser.state_dict()
        states.save(
            State(step, *kept, self._best, self._start), self.config, self.options, self.run
        )
