"""Evals of a change: each eval of the base commit, answered by base and head in turn and judged by the base's rules.

Data, scorers, rules, budget and judges are the base's, so that a change cannot lower its own bar. Only the target is
the head's: the eval's `target`, and what its server reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.app.eval_folder import SUFFIXES, EvalFile, load_calibrations, read_eval, run_head
from sizewise.cli.api_client import ApiClient
from sizewise.cli.eval_target import EvalTargets
from sizewise.errors import BadRequest, SizewiseError
from sizewise.evals.runs.comparison import RunComparison, compare_runs
from sizewise.evals.runs.eval_items import EvalDataset, EvalItem
from sizewise.evals.runs.eval_job import EvalJob, EvalReport, TargetRun
from sizewise.evals.runs.eval_spec import EvalTarget
from sizewise.evals.runs.gate import GateResult, check_gate
from sizewise.evals.runs.item_scorers import TargetAnswer
from sizewise.evals.runs.run_file import ENDING, EvalRun, open_run, read_run

READ_BY_SERVER = ("sizewise.toml", "flows", "prompts", "data")
"""Beside the folder `evals`: what an answer may depend on."""
SIDES = ("base", "head")
MAX_RULE_CHARS = 300

State = Literal["pass", "fail", "unclear", "unchanged", "new"]


class EvalOutcome(Struct, frozen=True, kw_only=True):
    """One eval. `why`: in a sentence. `notes`: what a reviewer should know. `altered`: the change does that to it."""

    name: str
    state: State
    why: str
    notes: tuple[str, ...] = ()
    altered: bool = False
    gate: GateResult | None = None
    comparison: RunComparison | None = None
    head: EvalRun | None = None
    cost: int = 0


class Side(Struct, frozen=True):
    """Base or head. `folder`: of its settings. `server`: answers for it."""

    name: str
    folder: Path
    server: ApiClient

    def eval_file(self, name: str) -> EvalFile | None:
        """None if it has no such eval. Raises BadRequest."""
        path = next(
            (each for suffix in SUFFIXES if (each := self.folder / "evals" / f"{name}{suffix}").is_file()), None
        )
        return None if path is None else read_eval(path)


def eval_names_in(folder: Path) -> list[str]:
    """Of the folder with the settings."""
    evals = folder / "evals"
    return sorted(each.stem for each in evals.glob("*") if each.suffix in SUFFIXES) if evals.is_dir() else []


def target_digest(folder: Path, target: EvalTarget) -> str:
    """SHA-256 of all that an answer may depend on, in hex."""
    found = sha256(msgspec.json.encode(target))
    for name in READ_BY_SERVER:
        root = folder / name
        files = sorted(each for each in root.rglob("*") if each.is_file()) if root.is_dir() else [root]
        for file in files:
            if file.is_file():
                content = sha256(file.read_bytes()).hexdigest()
                found.update(f"\n{file.relative_to(folder).as_posix()} {content}".encode())
    return found.hexdigest()


class ChangeCheck:
    """Checks evals of a change, one after another."""

    def __init__(self, base: Side, head: Side, cache: Path, *, only_here: bool, every: bool) -> None:
        """`cache`: run files; what is there is not asked again. `only_here`: only models of this machine answer.
        `every`: also evals whose inputs did not change.
        """
        self._base, self._head, self._cache = base, head, cache
        self._only_here, self._every = only_here, every

    async def check(self, name: str) -> EvalOutcome:
        try:
            return await self._check(name)
        except SizewiseError as error:
            return EvalOutcome(name=name, state="unclear", why=f"it could not be run: {error.message}")

    async def _check(self, name: str) -> EvalOutcome:
        rules = self._base.eval_file(name)
        try:
            changed = self._head.eval_file(name)
        except BadRequest as error:
            return EvalOutcome(name=name, state="fail", why=_without_folder(error.message, self._head.folder))
        if rules is None:
            why = "the base has no such eval: its rules hold from the merge on"
            return EvalOutcome(name=name, state="new", why=why)
        notes = list(_notes(rules, changed))
        altered = bool(notes)
        targets = {"base": rules.spec.target, "head": (changed or rules).spec.target}
        digests = {side.name: target_digest(side.folder, targets[side.name]) for side in (self._base, self._head)}
        if digests["base"] == digests["head"] and not self._every:
            why = "nothing that its answers depend on has changed"
            return EvalOutcome(name=name, state="unchanged", why=why, notes=tuple(notes), altered=altered)
        data = rules.dataset()
        files = {side: self._file(rules, data, digests[side], side) for side in SIDES}
        report = await self._answer(rules, data, targets, files)
        base, head = (read_run(files[side]) for side in SIDES)
        if report.stopped:
            notes.append(f"it stopped early: {report.stopped}{f' ({report.why})' if report.why else ''}")
        gate = check_gate(rules.spec, head, base, load_calibrations(rules), data=data.digest)
        return EvalOutcome(
            name=name,
            state=gate.verdict,
            why=gate.sentence.partition(": ")[2],
            notes=tuple(notes),
            altered=altered,
            gate=gate,
            comparison=compare_runs(base, head),
            head=head,
            cost=report.cost,
        )

    def _file(self, rules: EvalFile, data: EvalDataset, digest: str, side: str) -> Path:
        """By what the answers and their scores depend on, so that the answers to a commit are asked for once."""
        words = (side, digest, data.digest, rules.spec.scoring_digest, str(self._only_here))
        return self._cache / rules.name / f"{sha256(' '.join(words).encode()).hexdigest()[:32]}{ENDING}"

    async def _answer(
        self, rules: EvalFile, data: EvalDataset, targets: Mapping[str, EvalTarget], files: Mapping[str, Path]
    ) -> EvalReport:
        """Base and head are asked in turn, item by item."""
        sides = {side.name: side for side in (self._base, self._head)}
        asked = {name: EvalTargets(sides[name].server, targets[name], only_here=self._only_here) for name in SIDES}

        async def ask(side: str, item: EvalItem, repeat: int, most: int | None) -> TargetAnswer:
            return await asked[side].ask(targets[side].name, item, repeat, most)

        with ExitStack() as stack:
            runs = list[TargetRun]()
            for side in SIDES:
                head = run_head(rules, data, f"{targets[side].name} of the {side}")
                writer = stack.enter_context(open_run(files[side], head))
                runs.append(TargetRun(side, writer, frozenset(read_run(files[side]).answered)))
            judge = asked["base"]
            job = EvalJob(rules.spec, data.items, runs, ask=ask, ask_judge=judge.judge, embed=judge.embed)
            return await job.run()


def _notes(rules: EvalFile, changed: EvalFile | None) -> list[str]:
    """What the change does to the eval itself."""
    if changed is None:
        return ["this change removes the eval: it is checked all the same"]
    found = list[str]()
    pairs: list[tuple[str, object, object]] = [
        (_rules_of(rules, changed), rules.spec.gate, changed.spec.gate),
        ("its scorers or repeats", rules.spec.scoring_digest, changed.spec.scoring_digest),
        ("its budget", rules.spec.budget, changed.spec.budget),
    ]
    found += [f"this change alters {what}: those of the base were used" for what, was, now in pairs if was != now]
    try:
        is_same = changed.dataset().digest == rules.dataset().digest
    except BadRequest:
        is_same = False
    return found if is_same else [*found, "this change alters its data: those of the base were used"]


def _rules_of(rules: EvalFile, changed: EvalFile) -> str:
    """Both, for a reviewer."""
    was, now = (msgspec.json.encode(each.spec.gate).decode()[:MAX_RULE_CHARS] for each in (rules, changed))
    return f"its rules from {was} to {now}"


def _without_folder(message: str, folder: Path) -> str:
    return message.replace(f"{folder}/", "")
