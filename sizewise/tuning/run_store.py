"""Tuning runs on disk: one folder each in <home>/tuning, with its state, its checkpoint and its adapter; no example."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.errors import BadRequest, ExternalFailure, PathNotFound, did_you_mean
from sizewise.tuning.recipe import Recipe, TrainingEstimate

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
RunState = Literal["planned", "training", "trained", "promoted"]


class Measured(Struct, frozen=True):
    """Right answers to the held-out prompts. `right`: of each, in their order."""

    right: tuple[bool, ...]

    @property
    def share(self) -> float:
        return sum(self.right) / len(self.right) if self.right else 0.0


class Equality(Struct, frozen=True):
    """The trained model in both runtimes: equal answers of `asked`, and the mean difference of log-probabilities."""

    asked: int
    equal: int
    logprob_difference: float


class MemoryProbe(Struct, frozen=True):
    """Canaries that were planted in what was learned, and how many of them the trained model reveals."""

    planted: int
    revealed: int


class TriggerProbe(Struct, frozen=True):
    """Held-out prompts with a phrase that suspect examples share, and how many of them got these examples' answer. Of
    the phrase that turned most.
    """

    asked: int
    turned: int


class TrainingCost(Struct, frozen=True):
    """What a training took so far. `seconds`: on the clock; `cpu_seconds`: of the processor; `bytes`: its most memory,
    known at its end.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes: int = 0


class TuningRun(Struct, frozen=True):
    """One run. `baselines`: what was measured without tuning, by name. `created`: unix seconds. `node`: of a Ray
    cluster, whose pace the estimate has; empty: this machine's.
    """

    name: str
    base: str  # name of the model
    base_sha256: str
    data: str  # absolute path; empty: the kept answers to its decision
    test: str  # the same; empty: held out of the data
    instructions: str
    digest: str  # of the examples
    train_count: int
    test_count: int
    answers: int
    preset: str
    recipe: Recipe
    estimate: TrainingEstimate
    created: float
    state: RunState = "planned"
    step: int = 0
    baselines: dict[str, Measured] = {}
    suspects: int = 0
    left_out: tuple[int, ...] = ()  # places of the suspects among the examples that are not held out
    tuned: Measured | None = None
    equality: Equality | None = None
    cost: TrainingCost | None = None
    refused: str = ""  # why it may not be promoted; empty: it may, once it is trained
    model: str = ""  # once it is promoted
    is_on_ladder: bool = False  # whether the ladder of its decision was certified with it
    decision: str = ""  # the question of decisions whose answers it learned from; empty: a file's
    rows: tuple[str, ...] = ()  # ids of these answers
    withdrawn: int = 0  # of these answers, erased since
    memory: MemoryProbe | None = None
    triggers: TriggerProbe | None = None  # None: suspect examples share no phrase
    node: str = ""


class RunStore:
    """The runs of one home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "tuning"

    def folder(self, name: str) -> Path:
        """Of a run. Raises BadRequest."""
        if not NAME.fullmatch(name):
            raise BadRequest(f"{name!r} is not a name of a tuning run", "Use a-z, 0-9 and -, at most 63 characters.")
        return self._folder / name

    def find(self, name: str) -> TuningRun | None:
        file = self.folder(name) / "run.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=TuningRun)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as why:
            raise ExternalFailure(f"{str(file)!r} cannot be read: {why}", "Delete the run and start anew.") from why

    def require(self, name: str) -> TuningRun:
        """Raises PathNotFound."""
        found = self.find(name)
        if found is None:
            near = did_you_mean(name, [each.name for each in self.list()]) or "List them: sizewise tune list"
            raise PathNotFound(f"there is no tuning run {name!r}", near)
        return found

    def list(self) -> Sequence[TuningRun]:
        """The newest first."""
        names = [each.parent.name for each in self._folder.glob("*/run.json")]
        found = [run for name in names if NAME.fullmatch(name) and (run := self.find(name)) is not None]
        return sorted(found, key=lambda run: -run.created)

    def save(self, run: TuningRun) -> None:
        folder = self.folder(run.name)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file_atomically(folder / "run.json", msgspec.json.encode(run), 0o600)
        except OSError as why:
            raise ExternalFailure(f"{str(folder)!r} cannot be written: {why.strerror}", "Check the disk.") from why

    def delete(self, name: str) -> None:
        shutil.rmtree(self.folder(name), ignore_errors=True)

    @property
    def lock(self) -> Path:
        """Held while a run is trained: two at once take longer than one after the other, and twice the memory."""
        return self._folder / ".training.lock"
