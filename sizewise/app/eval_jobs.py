"""Eval jobs: runs of the folder's evals on this server: started, watched, cancelled; writes run files as the CLI does.

A job outlives the request that started it. What was answered is on disk: after a restart, `start` goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from sizewise.app.eval_folder import EvalFile, find_eval, next_run_file, run_head, whole_run_of
from sizewise.app.eval_target import OwnTargets
from sizewise.auth.authenticator import Authenticator
from sizewise.errors import Busy, InvalidApiKey, PathNotFound, SizewiseError
from sizewise.evals.runs.budget_prices import ModelPrice, check_prices, model_price
from sizewise.evals.runs.eval_items import EvalDataset
from sizewise.evals.runs.eval_job import EvalJob, TargetRun
from sizewise.evals.runs.run_file import RunHead, open_run, read_run
from sizewise.handler import Handler
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.prompts.prompt_library import PromptLibrary

log = logging.getLogger("sizewise.evals")

JobState = Literal["running", "done", "failed", "cancelled", "interrupted"]
MAX_RUNNING = 2
"""Jobs at a time in this process: each has its own concurrency."""
MAX_KNOWN = 200
"""Ended jobs whose end is remembered; their run files stay."""


class JobStatus(Struct):
    """Of a run of this process. `done`, `total`: answers; `cost`: pico-dollars of this job."""

    state: JobState = "running"
    total: int = 0
    done: int = 0
    failed: int = 0
    cost: int = 0
    error: str = ""


class EvalAnswers(Struct, frozen=True):
    """What answers a run: the present handler with its prompts and models. `release`: hash; empty: the published."""

    handler: Callable[[], Handler]
    prompts: PromptLibrary
    cards: tuple[ModelCard, ...] = ()
    release: str = ""


class EvalJobs:
    """One per process. `folder` None: there are no evals. They belong to one project, as the folder's flows do."""

    def __init__(self, folder: Path | None, authenticator: Authenticator, tenant: str = "", project: str = "") -> None:
        self._folder = folder
        self._authenticator = authenticator
        self._owner = (tenant, project)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, JobStatus] = {}

    def folder(self, principal: Principal) -> Path | None:
        """The evals that the caller may see; None: none."""
        mine = principal.tenant == self._owner[0] and (principal.all_projects or principal.project == self._owner[1])
        return self._folder if mine else None

    @property
    def own_folder(self) -> Path | None:
        """The evals, whoever asks."""
        return self._folder

    def status(self, id: str) -> JobStatus | None:
        """None if this process did not run it lately."""
        return self._known.get(id)

    def is_running(self, id: str) -> bool:
        return (status := self.status(id)) is not None and status.state == "running"

    async def start(self, principal: Principal, suite: str, target: str, answers: EvalAnswers, *, is_new: bool) -> str:
        """Starts or continues a run, and returns its id: that of the running one, if there is, or of the whole one of a
        release, which answers alike for ever. Raises BadRequest for an eval that cannot be read, or whose budget
        a price is missing for, ExternalFailure if the folder cannot be written, Busy.
        """
        folder = self.folder(principal)
        if folder is None:
            raise PathNotFound(f"there is no eval {suite[:100]!r} in your project", "evals lie beside sizewise.toml")
        found = await asyncio.to_thread(find_eval, folder, suite)
        data = await asyncio.to_thread(found.dataset)
        name = target or found.spec.target.name
        release = answers.release
        if release and not is_new and not target:
            known = await asyncio.to_thread(whole_run_of, found, data, release)
            if known is not None:
                return f"{suite}/{known.name}"
        check_prices(found.spec, [name], map(_price, answers.cards), f"evals/{found.path.name}")
        prompt = _prompt_version(answers.prompts, principal, found.spec.target.prompt)
        choose = partial(next_run_file, found, data, name, prompt, is_new=is_new, release=release)
        file = await asyncio.to_thread(choose)
        id = f"{suite}/{file.stem}"
        if id in self._tasks:
            return id
        if len(self._tasks) >= MAX_RUNNING:
            raise Busy(f"{MAX_RUNNING} runs of evals are in progress", "wait for one, or cancel it", retry_after=30)
        head = run_head(found, data, name, prompt, release)
        await asyncio.to_thread(_create, file, head)
        status = JobStatus(total=head.planned)
        caller = partial(self._caller, principal)
        asked = OwnTargets(answers.handler, caller, found.spec.target, prompt.rpartition("@")[2])
        for old in list(self._known)[: max(0, len(self._known) - MAX_KNOWN)]:
            if old not in self._tasks:
                del self._known[old]
        self._known[id] = status
        task = asyncio.create_task(_run(found, data, TargetFile(name, file, head), asked, status))
        self._tasks[id] = task
        task.add_done_callback(lambda done: self._ended(id, done))
        return id

    async def wait(self, id: str) -> JobStatus | None:
        """How it ended; None if this process did not run it lately."""
        if (task := self._tasks.get(id)) is not None:
            await asyncio.wait({task})
        return self.status(id)

    async def cancel(self, id: str) -> bool:
        """Whether it ran. Answers in flight are given up; what was answered is kept."""
        task = self._tasks.get(id)
        if task is None:
            return False
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
        return True

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _caller(self, starter: Principal) -> Principal:
        """Who started a run, with current permissions. Raises InvalidApiKey."""
        keys = self._authenticator
        found = keys.stored_caller(starter.key_id, starter.user_id, starter.tenant, starter.project)
        if found is None:
            raise InvalidApiKey(
                f"the key {starter.key_id!r}, which started the run, no longer has the permission `ask`",
                "start it again with another key",
            )
        return found

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(id, None)
        if task.cancelled():
            self._known[id].state = "cancelled"
        elif (fault := task.exception()) is not None:  # only its type: it may hold a prompt
            log.error("unexpected %s in the eval run %s", type(fault).__name__, id)
            self._known[id].state, self._known[id].error = "failed", "internal error: see the server's log"


class TargetFile(Struct, frozen=True):
    """A target and its run file."""

    target: str
    file: Path
    head: RunHead


async def _run(found: EvalFile, data: EvalDataset, into: TargetFile, asked: OwnTargets, status: JobStatus) -> None:
    def progress(done: int, total: int) -> None:
        status.done, status.total = done, total
        status.failed, status.cost = len(job.report.failed), job.report.cost

    try:
        with open_run(into.file, into.head) as writer:
            run = TargetRun(into.target, writer, frozenset(read_run(into.file).answered))
            job = EvalJob(
                found.spec,
                data.items,
                [run],
                ask=asked.ask,
                ask_judge=asked.judge,
                embed=asked.embed,
                progress=progress,
            )
            report = await job.run()
    except SizewiseError as error:
        status.state, status.error = "failed", error.message
        return
    progress(status.done, status.total)
    is_whole = read_run(into.file).is_whole
    status.state = "done" if is_whole else "failed"
    status.error = "" if is_whole else report.why or STOPPED.get(report.stopped, "some requests failed")


STOPPED: Mapping[str, str] = {
    "budget": "the budget is used up",
    "time": "the time is over",
    "failures": "too many requests failed",
}


def _price(card: ModelCard) -> ModelPrice:
    return model_price(card.name, card.task, card.price.input, card.price.output)


def _prompt_version(prompts: PromptLibrary, principal: Principal, id: str) -> str:
    """ID@VERSION; empty: no prompt. Raises PathNotFound, BadRequest."""
    return f"{id}@{prompts.get(principal, id).version}" if id else ""


def _create(file: Path, head: RunHead) -> None:
    """So that it can be read at once. Raises ExternalFailure."""
    with open_run(file, head):
        pass
