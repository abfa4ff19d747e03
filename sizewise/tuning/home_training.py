"""Trainings on this machine: one batch to the end, with a checkpoint every 20 seconds in the run's own folder."""

from __future__ import annotations

import sys
from pathlib import Path

from sizewise.errors import ExternalFailure
from sizewise.tuning.environment import require_environment
from sizewise.tuning.training import BatchEnd, OnStep, Pace, Say, TrainingHost, TrainingJob, TrainingNeeds, run_script
from sizewise.tuning.training_host import MEMORY_HINT, matrix_pace, missing_memory, training_variables


class HomeTraining:
    """A TrainingPlace (training.py). `base`: the file of the model. `cache`: has the training environment."""

    def __init__(self, cache: Path, base: Path, threads: int) -> None:
        self._cache = cache
        self._base = base
        self._threads = threads

    async def pace(self, needs: TrainingNeeds) -> Pace:
        return Pace(await matrix_pace(sys.executable))

    async def prepare(self, needs: TrainingNeeds, say: Say) -> None:
        require_environment(self._cache)
        if missing := missing_memory(needs.bytes):
            raise ExternalFailure(f"the training {missing}", MEMORY_HINT)

    async def run(self, job: TrainingJob, folder: Path, progress: OnStep, say: Say) -> BatchEnd:
        environment = require_environment(self._cache)
        say("loading PyTorch and the base")
        host = TrainingHost(
            python=environment.python,
            base=str(self._base),
            gpu=environment.gpu,
            threads=self._threads,
            variables=training_variables(),
        )
        return await run_script(job, host, folder, progress)
