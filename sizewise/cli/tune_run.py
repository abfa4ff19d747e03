"""`sizewise tune plan` and `run`: baselines and an estimate, then the training with its progress; needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sizewise.catalog.loader import default_local_card, local_card, weights_path
from sizewise.cli.local_vectors import local_embedding_model, local_vectors
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.tune_report import write_run
from sizewise.errors import BadRequest, Conflict, ModelUnavailable
from sizewise.offload.ray_pool import RayPool
from sizewise.offload.worker_pool import PoolRules
from sizewise.process import physical_cores
from sizewise.settings.load import Settings, compute_in_one_thread
from sizewise.tuning.environment import require_environment
from sizewise.tuning.examples import ExampleFiles
from sizewise.tuning.gate import needless
from sizewise.tuning.home_training import HomeTraining
from sizewise.tuning.ray_training import RayTraining
from sizewise.tuning.recipe import PRESETS
from sizewise.tuning.run_store import RunStore, TuningRun
from sizewise.tuning.training import TrainingPlace
from sizewise.tuning.tuner import BaseModel, Reporter, Tuner

RULES = PoolRules(
    work="the training",
    hint="Run it again: it goes on from the last checkpoint.",
    timeout_s=86_400.0,  # of a batch, which ends by itself
    attempts=1,  # one that was killed for memory would be so again
)
"""On a Ray cluster."""


@click.command()
@click.argument("name")
@click.argument("data", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--base", default="", metavar="MODEL", help="The embedded model to tune. [the smallest]")
@click.option("--test", type=click.Path(path_type=Path, dir_okay=False), help="Held-out examples. [a fifth of DATA]")
@click.option("--instructions", default="", metavar="TEXT", help="The system message of examples without one.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="standard", show_default=True, help="How long.")
@local_options
def plan(name: str, data: Path, base: str, test: Path | None, instructions: str, preset: str) -> None:
    """Measure what needs no tuning, and estimate time and memory.

    DATA is JSONL: {"messages": [...]} with the wanted answer as the last message, or {"input", "output"}. A head on
    vectors and the base itself, with the answers listed, are asked first. Nothing is trained.

    \b
    Example: sizewise tune plan intents examples.jsonl --instructions "Name the intent."
    """
    found = command_settings()
    store = RunStore(found.home)

    model = base_model(base, found)
    source = ExampleFiles(str(data.absolute()), "" if test is None else str(test.absolute()), instructions)

    async def work(tuner: Tuner) -> TuningRun:
        return await tuner.plan(name, model, source, preset)

    write_run(asyncio.run(with_tuner(found, store, model, work)))


@click.command()
@click.argument("name")
@click.option("--anyway", is_flag=True, help="Tune even if a baseline is good enough.")
@local_options
@click.pass_context
def run(ctx: click.Context, /, name: str, anyway: bool) -> None:
    """Train a planned run, or continue one; then measure it.

    It can be stopped at any time: the same command goes on from the last checkpoint, which is at most 20 seconds old.
    Exits with 1 if the tuned model does not pass its gate, or if tuning is not needed.

    \b
    Example: sizewise tune run intents
    """
    found = command_settings()
    store = RunStore(found.home)
    planned = store.require(name)
    if planned.decision:
        what = "the answers that it learns from are not kept in a file"
        raise Conflict(f"{name!r} is of a decision: {what}", f"Run: sizewise tune distill {planned.decision[:12]}")
    if planned.state == "planned" and needless(planned) and not anyway:
        write_run(planned)
        ctx.exit(1)
    require_environment_here(found)
    base = base_model(planned.base, found)

    async def work(tuner: Tuner) -> TuningRun:
        return await tuner.train(planned, base)

    done = asyncio.run(with_tuner(found, store, base, work))
    write_run(done)
    ctx.exit(1 if done.refused else 0)


def require_environment_here(found: Settings) -> None:
    """Unless a node of a Ray cluster has it. Raises ExternalFailure."""
    if not found.jobs.ray:
        require_environment(found.cache_dir)


def base_model(name: str, found: Settings) -> BaseModel:
    """Raises ModelNotFound, BadRequest, ModelUnavailable."""
    card = local_card(name, found) if name else default_local_card(found)
    weights = card.weights
    assert weights is not None  # a local model has them
    if card.task != "chat" or weights.adapter:
        raise BadRequest(f"{card.name} is not a model that can be tuned", "Name a chat model: --base MODEL")
    file = weights_path(weights, found.cache_dir)
    if not file.is_file():
        raise ModelUnavailable(f"{card.name} is not on this machine", f"Run: sizewise models pull {card.model}")
    return BaseModel(card.name, file, weights.sha256)


async def with_tuner(
    found: Settings, store: RunStore, base: BaseModel, work: Callable[[Tuner], Awaitable[TuningRun]]
) -> TuningRun:
    compute_in_one_thread()  # the head that is a baseline
    embedding = local_embedding_model(found)
    try:
        embed = None if embedding is None else partial(local_vectors, embedding)
        with _progress() as report:
            async with _training_place(found, base) as place:
                return await work(Tuner(store, report, place, embed=embed, threads=found.local.threads))
    finally:
        if embedding is not None:
            await embedding.stop(0)


@asynccontextmanager
async def _training_place(found: Settings, base: BaseModel) -> AsyncIterator[TrainingPlace]:
    if not found.jobs.ray:
        yield HomeTraining(found.cache_dir, base.file, found.local.threads or physical_cores())
        return
    pool = RayPool(found.jobs.ray, rules=RULES)
    try:
        yield RayTraining(pool)
    finally:
        await pool.close()


class _Bar(Reporter):
    """Each stage with its bar on stderr, if that is a terminal; else one line a stage."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def stage(self, text: str) -> None:
        if self._bar is None:
            click.echo(text, err=True)
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(text, total=None)

    def progress(self, done: int, total: int, detail: str = "") -> None:
        if self._bar is not None and self._task is not None:
            if detail:
                self._bar.update(self._task, description=f"training, {detail}")
            self._bar.update(self._task, completed=done, total=total)


@contextmanager
def _progress() -> Iterator[Reporter]:
    console = Console(stderr=True)
    if wants_json():
        yield Reporter()
    elif not console.is_terminal:
        yield _Bar(None)
    else:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console, transient=True) as bar:
            yield _Bar(bar)
