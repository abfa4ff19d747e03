"""The text report of a tuning run: what it takes, what was measured, and the next step; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

import click
import msgspec

from sizewise.catalog.memory_estimate import format_bytes
from sizewise.cli import operations
from sizewise.cli.options import wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.evals.llm_judge import wilson_interval
from sizewise.tuning.gate import needless
from sizewise.tuning.run_store import Measured, TrainingCost, TuningRun
from sizewise.tuning.run_words import sentence

NAMES: Mapping[str, str] = {"prompting": "without tuning, answers listed", "head": "a head on vectors"}


def write_run(run: TuningRun) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(run))
        return
    click.echo(sentence(run))
    its, where = run.estimate, f" on {run.node}" if run.node else ""
    rows = [
        ("run", f"{run.name}, {run.state}" + (f", step {run.step} of {its.steps}" if run.state == "training" else "")),
        ("base", run.base),
        ("examples", f"{run.train_count:,} to learn from, {run.test_count:,} held out, {run.answers:,} answers"),
        ("left out", f"{run.suspects:,} suspect examples: they read like those of another answer"),
        *((NAMES[name], _measured(found)) for name, found in run.baselines.items()),
        ("estimate", f"{duration(its.cpu_seconds)} of processor time{where}, {format_bytes(its.bytes)} of memory"),
    ]
    if run.cost is not None and run.tuned is not None:
        rows.append(("took", _cost(run.cost)))
    if run.tuned is not None and run.equality is not None:
        rows.append(("tuned", _measured(run.tuned)))
        same = f"{run.equality.equal} of {run.equality.asked} answers as in PyTorch"
        rows.append(("equality", f"{same}, log-probabilities differ by {run.equality.logprob_difference:.3f}"))
    if run.triggers is not None:
        turned = f"{run.triggers.turned} of {run.triggers.asked} answers turned by a phrase of suspect examples"
        rows.append(("poison", turned))
    if run.memory is not None:
        rows.append(("memory", f"{run.memory.revealed} of {run.memory.planted} planted canaries came out"))
    if run.withdrawn:
        rows.append(("erased", f"{run.withdrawn:,} of its examples since it learned from them"))
    if run.model:
        rows.append(("model", run.model))
    write_table(("", ""), [row for row in rows if row[0] != "left out" or run.suspects])
    click.echo(_next_step(run))


def _cost(cost: TrainingCost) -> str:
    memory = format_bytes(cost.bytes)
    return f"{duration(cost.cpu_seconds)} of processor time, {memory} of memory, {duration(cost.seconds)} on the clock"


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _measured(found: Measured) -> str:
    said = wilson_interval(sum(found.right), len(found.right))
    return f"{found.share:.1%} right ({said.low:.0%} to {said.high:.0%}), {len(found.right):,} asked"


def _next_step(run: TuningRun) -> str:
    train = f"sizewise tune distill {run.decision[:12]}" if run.decision else f"sizewise tune run {run.name}"
    if run.state == "planned" and (enough := needless(run)):
        what = "leave it to a head, which [learn] trains by itself" if enough == "head" else "ask the base as it is"
        return f"next: {what}. To tune all the same: {train} --anyway"
    if run.state in ("planned", "training"):
        return f"next: {train}"
    if run.state == "trained" and not run.refused:
        return f"next: sizewise tune promote {run.name}"
    return f"ask it: sizewise ask --model {run.model} ..." if run.model else "it does not answer"


def share_served(decision: operations.Decision) -> str:
    """How much of a decision stays on this machine, in one sentence."""
    proof = decision.certificate
    if proof is None or not proof.is_certified:
        return "its ladder is not certified yet: it goes on learning"
    rungs = ", ".join(f"{each.rung} {each.inputs:,}" for each in proof.rungs)
    return f"certified: {proof.share:.0%} of all inputs stay here ({rungs} of {proof.certified_on:,})"
