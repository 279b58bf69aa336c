"""Everything that a sweep runs on: loaded, opened and checked before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from engine.images.sets import Sets, open_sets, without_copies
from engine.plan.plan import Plan
from engine.protocol.events import BatchSized, Logged, PhaseChanged, SetsPrepared, WorkerStarted
from engine.protocol.messages import Job
from engine.session.outputs import OutputWriter
from engine.sweep import preflight, resume
from engine.sweep.devices.backend import backend_of
from engine.sweep.loaded_models import LoadedModels
from engine.sweep.resume import Before, PriorVariants
from engine.sweep.retry import RetryControl
from engine.sweep.workers import Workers
from engine.text import counted


class Setup(NamedTuple):
    """What a sweep runs on; nothing of it is replaced later."""

    job: Job
    device: torch.device  # of the models
    models: LoadedModels
    sets: Sets  # what is calibrated or fitted on is not evaluated
    prepared: SetsPrepared
    batch: int  # the first batch size
    prior: PriorVariants = PriorVariants()

    @property
    def plan(self) -> Plan:
        """Return the plan."""
        return self.job.plan

    @property
    def session(self) -> Path:
        """Return the session's folder."""
        return Path(self.job.session)

    @property
    def firsts(self) -> range:
        """Return the first rows of the chunks that are left to do."""
        return range(self.job.first_row, self.sets.rows, self.plan.chunk_images)

    def output_writer(self) -> OutputWriter | None:
        """Return what writes logits and features, None if they are not kept."""
        if not self.plan.keep_outputs:
            return None
        return OutputWriter(self.session, self.plan, self.models.sizes)


def set_up(job: Job, started: WorkerStarted, workers: Workers, control: RetryControl) -> Setup:
    """Load the models, open the sets, and check both; raise a QoodError for what cannot be swept."""
    plan, resources, session, device = job.plan, job.resources, Path(job.session), workers.device
    preflight.check_plan(plan)
    control.emit(PhaseChanged("models", f"{counted(len(plan.models), 'model')} on {device}"))
    models = LoadedModels(plan, resources, device, control.emit)
    control.emit(PhaseChanged("images"))
    # Models first: labels may follow the class names in a model's own file.
    opened = control.retrying(lambda: open_sets(plan, resources, workers.decoders, models.class_names))
    for warning in preflight.check(plan, resources, session, opened, models, device):
        control.emit(Logged("warning", warning))
    control.emit(PhaseChanged("checking", f"the contents of {counted(opened.rows, 'image')}"))
    sets, prepared = control.retrying(lambda: without_copies(opened, plan))
    before = resume.check(session, plan, prepared, models.describe(), started, job.first_row)
    batch = before.batch or backend_of(device).first_batch(plan.chunk_images, models.largest_side)
    setup = Setup(job, device, models, sets, prepared, batch, before.variants)
    _report(setup, before, control)
    return setup


def _report(setup: Setup, before: Before, control: RetryControl) -> None:
    """Emit which images and models the following rows belong to."""
    control.emit(setup.prepared)
    for one in setup.prepared.sets:
        for note in one.notes:
            control.emit(Logged("info", f"{one.name}: {note}"))
    for model in setup.models.describe():
        control.emit(model)
    for change in before.changes:
        text = f"since the interruption, {change}; numbers may differ in their last bits"
        control.emit(Logged("warning", text))
    control.emit(BatchSized(setup.job.first_row, setup.batch))
