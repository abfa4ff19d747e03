"""Bias runs on disk: folders in `evals/bias`, each with prompts.jsonl and outcomes.jsonl, and their reports."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.bias.report import TargetGaps, measure_groups
from sizewise.evals.bias.suite import REFERENCES

FOLDER = "bias"
"""In the folder of evals."""


class BiasRun(Struct, frozen=True):
    """`ended`: unix seconds of its last answer."""

    id: str
    folder: Path
    ended: float

    def targets(self) -> list[TargetGaps]:
        """With the references of the suite, and gaps below five points counting as none. Raises BadRequest."""
        try:
            return measure_groups(self.folder, REFERENCES)
        except OSError as why:
            raise BadRequest(f"the answers of {self.id!r} cannot be read: {why.strerror}", "Run it again.") from why


def list_bias_runs(evals: Path) -> list[BiasRun]:
    """Those with answers, the newest first."""
    found = list[BiasRun]()
    for file in (evals / FOLDER).glob("*/outcomes.jsonl"):
        try:
            seen = file.stat()
        except OSError:
            continue  # it was deleted just now
        found.append(BiasRun(file.parent.name, file.parent, seen.st_mtime))
    return sorted(found, key=lambda run: (-run.ended, run.id))


def find_bias_run(evals: Path, id: str) -> BiasRun | None:
    return next((run for run in list_bias_runs(evals) if run.id == id), None)
