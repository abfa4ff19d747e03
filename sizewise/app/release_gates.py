"""Gates of releases: evals whose verdict an environment requires, judged on runs of this server; starts no run.

The eval's data, scorers and rules are those of the server's folder, so that a release cannot lower its own bar.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.app import release_changes
from sizewise.app.application import Application
from sizewise.app.eval_folder import EvalFile, find_eval, load_calibrations, whole_run_of
from sizewise.app.eval_jobs import EvalAnswers
from sizewise.errors import BadRequest, Conflict
from sizewise.evals.runs.eval_items import EvalDataset
from sizewise.evals.runs.gate import GateResult, check_gate
from sizewise.principal import Principal
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.tables import GateRow, PlanRow


class ReleaseGate(Struct, frozen=True):
    """An eval that the environment requires. `verdict`: pass, fail or unclear; empty: none that holds now."""

    eval: str
    verdict: str
    sentence: str
    at: int | None = None

    @property
    def passes(self) -> bool:
        return self.verdict == "pass"


async def answers_of_release(app: Application, principal: Principal, release: str) -> EvalAnswers:
    """Of a saved release. Raises Forbidden without `manage_releases`, PathNotFound, ConfigError."""
    serving = release_changes.serving(app)
    stored = await app.resources.services.releases.find(principal.tenant, principal.project, release)
    chosen = await serving.choose(principal, forced=stored.hash)
    return EvalAnswers(lambda: chosen.handler, chosen.resources.prompts, chosen.cards, stored.hash)


async def gates_of(app: Application, place: Place, release: str, base: str) -> tuple[ReleaseGate, ...]:
    """In the order of the settings. `base`: the release that is live there."""
    needed = app.settings.environments[place[2]].gate
    if not needed or release == base:
        return ()
    known = {each.eval: each for each in await app.resources.services.release_plans.gates(place, release, base)}
    return tuple([await asyncio.to_thread(_gate, _folder(app), name, known.get(name)) for name in needed])


async def judge_gate(app: Application, principal: Principal, plan: PlanRow, name: str) -> ReleaseGate:
    """The verdict on the whole runs of the plan's release and of the one that is live. It is stored. Raises BadRequest
    if the environment does not require the eval, or a run is missing.
    """
    if name not in app.settings.environments[plan.environment].gate:
        raise BadRequest(f"{plan.environment!r} does not require the eval {name[:100]!r}", "see gate in its settings")
    result, rules = await asyncio.to_thread(_judge, _folder(app), name, plan)
    row = await app.resources.services.release_plans.save_gate(
        principal, plan, name, verdict=result.verdict, sentence=result.sentence, rules=rules
    )
    return ReleaseGate(name, row.verdict, row.sentence, row.at)


def require_gates(environment: str, gates: tuple[ReleaseGate, ...], plan: str) -> None:
    """Raises Conflict. `plan`: id; or a release, which is planned first."""
    missing = [each for each in gates if not each.passes]
    if missing:
        said = "; ".join(f"{each.eval}: {each.sentence}" for each in missing)
        raise Conflict(f"{environment!r} requires evals that have not passed: {said}", gate_hint(plan, environment))


def gate_hint(plan: str, environment: str) -> str:
    if plan.startswith("plan-"):
        return f"run them: sizewise release gate {plan}"
    return f"plan it first: sizewise release plan {plan[:12]} {environment}"


def _folder(app: Application) -> Path | None:
    return app.resources.eval_jobs.own_folder


def _gate(folder: Path | None, name: str, row: GateRow | None) -> ReleaseGate:
    if row is None:
        return ReleaseGate(name, "", "it was not run")
    try:
        found, data = _eval(folder, name)
    except BadRequest as error:
        return ReleaseGate(name, "", error.message)
    if row.rules != _rules_digest(found, data):
        return ReleaseGate(name, "", "the eval has changed since it was run")
    return ReleaseGate(name, row.verdict, row.sentence, row.at)


def _judge(folder: Path | None, name: str, plan: PlanRow) -> tuple[GateResult, str]:
    found, data = _eval(folder, name)
    head = whole_run_of(found, data, plan.release)
    base = whole_run_of(found, data, plan.base) if plan.base else None
    if head is None or (base is None and plan.base):
        missing = plan.release if head is None else plan.base
        raise BadRequest(
            f"{name!r} has no whole run of the release {missing[:12]}", f"run it: sizewise release gate {plan.id}"
        )
    gate = check_gate(found.spec, head, base, load_calibrations(found), data=data.digest)
    return gate, _rules_digest(found, data)


def _eval(folder: Path | None, name: str) -> tuple[EvalFile, EvalDataset]:
    if folder is None:
        raise BadRequest(f"this server has no eval {name!r}", "evals lie beside sizewise.toml")
    found = find_eval(folder, name)
    return found, found.dataset()


def _rules_digest(found: EvalFile, data: EvalDataset) -> str:
    """Of all that the verdict depends on beside the answers."""
    calibrations = {name: msgspec.to_builtins(each) for name, each in load_calibrations(found).items()}
    said = msgspec.json.encode([found.spec, calibrations], order="sorted")
    return sha256(said + data.digest.encode()).hexdigest()
