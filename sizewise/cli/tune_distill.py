"""`sizewise tune distill`: from the kept answers to a decision to a tuned rung of its ladder, or a refusal."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import click
import msgspec

from sizewise.app.option_model import option_texts
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client, command_settings, refuse_options, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.tune_promote import promote_run, put_on_ladder
from sizewise.cli.tune_report import share_served, write_run
from sizewise.cli.tune_run import base_model, require_environment_here, with_tuner
from sizewise.errors import Conflict, PathNotFound
from sizewise.settings.load import Settings
from sizewise.tuning.examples import MIN_EXAMPLES, KeptExamples
from sizewise.tuning.gate import needless
from sizewise.tuning.recipe import PRESETS
from sizewise.tuning.run_store import RunStore, TuningRun
from sizewise.tuning.tuner import Tuner

PAGE = 1_000
TEXT_HINT = 'Set `[learn] keep = "text"`; the answers from then on are kept with their texts.'


@click.command()
@click.argument("task")
@click.option("--base", default="", metavar="MODEL", help="The embedded model to tune. [the smallest]")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="standard", show_default=True, help="How long.")
@click.option("--anyway", is_flag=True, help="Tune even if a baseline is good enough.")
@server_options
@click.pass_context
def distill(ctx: click.Context, /, task: str, base: str, preset: str, anyway: bool) -> None:
    """Tune a model on the kept answers to a decision.

    TASK is an id of `sizewise decisions list`, or the model or policy that answers only one decision. Baselines come
    first, and what needs no tuning is not tuned. The model learns from the answers that teach, passes its gate, and
    joins the ladder, which is certified on the others. Exits with 1 if it is refused, or not needed. It can be stopped:
    the same command goes on.

    \b
    Example: sizewise tune distill 3f2a
    """
    found = command_settings()
    run, certified = asyncio.run(_distill(found, task, base, preset, anyway=anyway))
    if wants_json():
        write_json({"run": msgspec.to_builtins(run), "decision": msgspec.to_builtins(certified)})
    else:
        write_run(run)
        if certified is not None:
            click.echo(share_served(certified))
    ctx.exit(1 if certified is None else 0)


async def _distill(
    found: Settings, task: str, base: str, preset: str, *, anyway: bool
) -> tuple[TuningRun, operations.Decision | None]:
    """The run, and the decision once the model is on its ladder. Raises SizewiseError."""
    client, store = api_client(), RunStore(found.home)
    decision = await _decision(client, task)
    examples = await _examples(client, decision)
    taught = [each for each in examples if each.teaches]
    if (count := len({each.input for each in taught})) < MIN_EXAMPLES:
        raise Conflict(
            f"{count} different texts teach this decision, and tuning needs at least {MIN_EXAMPLES}", TEXT_HINT
        )
    run = _unfinished(store, decision, taught)
    if run is not None and run.refused and len(run.rows) == len(taught) and not anyway:
        _refuse_other(run, base, preset, "for answers on which a run was refused: add --anyway to tune on them again")
        return run, None
    if run is None or run.refused:
        run = await _trained(found, store, decision, taught, None, base, preset, anyway=anyway)
    else:
        _refuse_other(run, base, preset, f"while the run {run.name} goes on, which has its own")
        if run.state in ("planned", "training"):
            begun = [each for each in taught if each.id in frozenset(run.rows)]
            run = await _trained(found, store, decision, begun, run, run.base, run.preset, anyway=anyway)
    if run.tuned is None or run.refused:
        return run, None
    if run.state != "promoted":
        await promote_run(store, run, found)
    return await put_on_ladder(store, store.require(run.name), client)


def _refuse_other(run: TuningRun, base: str, preset: str, why: str) -> None:
    """Raises BadRequest for options that were given and are not those of the run: the same command goes on."""
    differs = {"base": base.rpartition("/")[2] not in ("", run.base.rpartition("/")[2]), "preset": preset != run.preset}
    refuse_options(why, *(name for name, other in differs.items() if other))


async def _decision(client: ApiClient, task: str) -> operations.Decision:
    """By the beginning of its id, or by the model or policy that answers it. Raises PathNotFound, Conflict."""
    found = await operations.show_decision(client, id=task)
    if found is not None:
        return found
    mine = [each for each in await operations.list_decisions(client) if task in (each.model, *each.model.split(":"))]
    if len(mine) > 1:
        raise Conflict(
            f"{task!r} answers {len(mine)} decisions", f"Name one: {', '.join(each.id for each in mine[:5])}"
        )
    if not mine:
        raise PathNotFound(f"there is no decision {task[:100]!r}", "list them: sizewise decisions list")
    return mine[0]


async def _examples(client: ApiClient, decision: operations.Decision) -> Sequence[operations.DecisionExample]:
    found = list[operations.DecisionExample]()
    while len(found) % PAGE == 0:
        page = await operations.decision_examples(client, id=decision.id, skip=len(found))
        found.extend(page)
        if not page:
            break
    return found


def _unfinished(
    store: RunStore, decision: operations.Decision, taught: Sequence[operations.DecisionExample]
) -> TuningRun | None:
    """The newest run of the decision, unless it is on the ladder. One that was going to learn from answers that were
    erased is deleted.
    """
    run = next((each for each in store.list() if each.decision == decision.id), None)
    if run is None or run.state == "promoted":
        return None if run is None or run.is_on_ladder else run
    if not frozenset(run.rows) <= {each.id for each in taught}:
        store.delete(run.name)
        return None
    return run


async def _trained(
    found: Settings,
    store: RunStore,
    decision: operations.Decision,
    taught: Sequence[operations.DecisionExample],
    run: TuningRun | None,
    base: str,
    preset: str,
    *,
    anyway: bool,
) -> TuningRun:
    """`run`: goes on with it; None: plans a new one. Not trained if that is not needed. No text is written to disk: it
    would stay there if this were killed.
    """
    texts = option_texts(decision.options)
    kept = KeptExamples(tuple((each.input, texts[each.option]) for each in taught), decision.instructions)
    if run is None:
        name, model = _new_name(decision), base_model(base, found)
        run = await with_tuner(found, store, model, lambda tuner: tuner.plan(name, model, kept, preset))
        run = msgspec.structs.replace(run, decision=decision.id, rows=tuple(each.id for each in taught))
        store.save(run)
    if run.state == "planned" and needless(run) and not anyway:
        return run
    require_environment_here(found)
    tuned, going = base_model(run.base, found), run

    async def train(tuner: Tuner) -> TuningRun:
        return await tuner.train(going, tuned, kept)

    return await with_tuner(found, store, tuned, train)


def _new_name(decision: operations.Decision) -> str:
    """Also none of a deleted run: certificates and measured inputs go by the name of a model."""
    return f"decision-{decision.id[:12]}-{secrets.token_hex(4)}"
