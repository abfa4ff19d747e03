"""Runs an eval run's items: asks the model and the graders through the application, within a budget; stores nothing.

The run is its creator's: their permissions, limits and budgets apply to each call. `max_cost_usd` limits the whole run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.app.release_choice import answering
from sizewise.errors import (
    BudgetExceeded,
    Busy,
    EncryptionKeyUnavailable,
    ExternalFailure,
    Forbidden,
    InvalidApiKey,
    ModelNotFound,
    ServerStopping,
    SizewiseError,
    StorageError,
)
from sizewise.evals.hosted.data_sources import (
    CompletionsSource,
    DataRow,
    ResponsesSource,
    answer_values,
    chat_body,
    given_values,
    read_source,
)
from sizewise.evals.hosted.graders import (
    Grade,
    Grader,
    LabelModel,
    ScoreModel,
    grade_by_rule,
    grading_request,
    read_graders,
    read_verdict,
)
from sizewise.evals.hosted.messages import shown_messages
from sizewise.evals.hosted.results import GradedItem, ItemOutcome, ModelUse
from sizewise.evals.hosted.run_queue import RunEnd, RunTask
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.stored_caller import stored_principal
from sizewise.handler import Request
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.jobs.shared_budget import SharedBudget
from sizewise.messages import Reply
from sizewise.principal import Principal
from sizewise.providers.wires.openai.request_response import read_request

Json = dict[str, Any]
FATAL = (BudgetExceeded, ExternalFailure, Forbidden, InvalidApiKey, ModelNotFound)
"""Errors that every further call would meet: they end the run."""
MAX_FAILURES = 20
"""Items in a row that may fail; then the run ends: its next would fail as well."""
MAX_WAITS = 30
MAX_WAIT_S = 60.0
"""A call that WAITED_FOR refuses waits as long as that says, this often and long at most."""
WAITED_FOR = (Busy, StorageError, EncryptionKeyUnavailable)
"""A rate limit or full queue, or a storage that is away."""


class CallAnswer(Struct, frozen=True):
    """One call's reply. `cost`: pico-dollars; None: unknown."""

    reply: Reply
    model: str
    cost: int | None

    @property
    def use(self) -> ModelUse:
        its = self.reply.usage
        return ModelUse(model=self.model, calls=1, input=its.input, output=its.output, cached=its.cached)


class HostedEvalRunner:
    """The runner of this API. `get_app`: the current application; one item has one."""

    def __init__(self, get_app: Callable[[], Application]) -> None:
        self._get_app = get_app

    async def run(self, task: RunTask) -> RunEnd | None:
        return await _Run(self._get_app, task).run()


class _Run:
    def __init__(self, get_app: Callable[[], Application], task: RunTask) -> None:
        self._get_app, self._task = get_app, task
        self._graders = read_graders(task.content.criteria)
        self._source = read_source(msgspec.Raw(task.content.source))
        limits = get_app().resources.services.eval_runs.store.limits
        self._concurrency = limits.concurrency
        self._shares = SharedBudget(limits.concurrency)
        self._spent = task.spent
        self._failures_in_a_row = 0
        self._ended: RunEnd | None = None
        self._is_lost = False  # canceled, deleted or another server's

    async def run(self) -> RunEnd | None:
        try:
            await map_batches(self._batches(), self._do, concurrency=self._concurrency)
        except ServerStopping:
            return None
        except SizewiseError as error:
            return RunEnd((error.code, error.message))
        if self._is_lost or (self._task.is_stopping and self._ended is None and not self._is_whole):
            return None
        return self._ended or RunEnd()

    @property
    def _is_whole(self) -> bool:
        return len(self._task.done) >= len(self._task.rows)

    async def _batches(self) -> AsyncIterator[Batch[tuple[int, int | None]]]:
        """A position in the data each, with the pico-dollars that it may cost."""
        most = self._task.content.options.max_cost
        for position in range(len(self._task.rows)):
            if position in self._task.done:
                continue
            if self._ended is not None or self._is_lost or self._task.is_stopping:
                return
            await self._shares.turn()
            if most is not None and self._spent >= most:
                self._ended = RunEnd((BudgetExceeded.code, "the run has cost as much as `max_cost_usd` allows"))
                return
            yield Batch(str(position), (position, self._shares.take(None if most is None else self._left())))

    async def _do(self, job: tuple[int, int | None]) -> None:
        """Raises an error that every further item would meet."""
        position, share = job
        result = await self._shares.spend(share, partial(self._graded, position), self._left, BudgetExceeded)
        self._spent += result.cost or 0
        if not await self._task.keep(result):
            self._is_lost = True
            return
        self._task.done.add(position)
        error = result.outcome.error
        self._failures_in_a_row = self._failures_in_a_row + 1 if error else 0
        if error and self._failures_in_a_row >= MAX_FAILURES:
            self._ended = RunEnd((error[0], f"{MAX_FAILURES} items in a row failed, the last: {error[1]}"))

    def _left(self) -> int:
        """Pico-dollars that it may still cost, where it has a limit."""
        return (self._task.content.options.max_cost or 0) - self._spent

    async def _graded(self, position: int, share: int | None) -> GradedItem:
        item = _Item(self._get_app(), self._task, share)
        try:
            return await item.result(position, self._task.rows[position], self._source, self._graders)
        except BudgetExceeded:
            self._spent += item.cost or 0  # of the calls before the one that was refused
            raise


class _Item:
    """The calls of one item, with what they cost."""

    def __init__(self, app: Application, task: RunTask, share: int | None) -> None:
        """Raises InvalidApiKey if the creator of the run may no longer ask."""
        self._app, self._task, self._left = app, task, share
        row = task.row
        self._principal: Principal = stored_principal(app, row.caller, row.tenant, row.project, "the eval run")
        self._uses = list[ModelUse]()
        self.cost: int | None = 0

    async def result(self, position: int, row: DataRow, source: object, graders: list[Grader]) -> GradedItem:
        """Raises what would also end the next item."""
        sample: Json = _empty_sample()
        grades, error = list[Grade](), None
        try:
            if isinstance(source, CompletionsSource | ResponsesSource) and source.model:
                body = chat_body(source, row)
                sample = _asked_sample(body)
                answer = await self._ask(body)
                sample, values = _answered(sample, answer, row)
            else:
                values = given_values(row)
                sample = _given_sample(row)
            grades = [await self._grade(each, values) for each in graders]
        except FATAL:
            raise
        except ServerStopping:
            raise
        except SizewiseError as failure:
            error = failure.code, failure.message
        missing = next((each.why for each in grades if each.score is None), "")
        if missing:
            error = "grader_failed", missing
        outcome = ItemOutcome(row.item, sample, grades, error)
        return GradedItem(position, outcome, tuple(self._uses), self.cost)

    async def _grade(self, grader: Grader, values: Json) -> Grade:
        if not isinstance(grader, ScoreModel | LabelModel):
            size = len(msgspec.json.encode(values))
            return await self._app.resources.offload.run(8 * size, grade_by_rule, grader, values)
        try:
            answer = await self._ask(grading_request(grader, values))
        except (*FATAL, ServerStopping):
            raise
        except SizewiseError as error:
            return Grade(None, why=f"the grader {grader.name!r} failed: {error.message}")
        grade = read_verdict(grader, answer.reply.text)
        return replace(grade, why=f"the grader {grader.name!r} failed: {grade.why}") if grade.why else grade

    async def _ask(self, body: Json) -> CallAnswer:
        """Waits while a limit refuses the call. Raises SizewiseError."""
        for _ in range(MAX_WAITS):
            try:
                return await self._ask_once(body)
            except WAITED_FOR as error:
                if self._task.is_stopping:
                    raise ServerStopping("the server stops", "the run goes on when it is back") from error
                await asyncio.sleep(min(error.retry_after or 1.0, MAX_WAIT_S))
        return await self._ask_once(body)

    async def _ask_once(self, body: Json) -> CallAnswer:
        chat, _ = read_request(msgspec.json.encode(body))
        content, seen = self._task.content, ResponseMetadata()
        options = replace(content.options, max_cost=self._left, cache=content.options.cache or "no-cache")
        call = Request(
            payload=chat,
            principal=self._principal,
            trace_id=content.trace,
            started_at=time.perf_counter(),
            options=options,
            endpoint="evals",
            background=True,
        )
        app = await answering(self._app, self._principal, content.options.session, content.trace)
        try:
            reply = await app.handler(call, seen)
        finally:
            self._pay(seen.cost)
        model = seen.selection.model if seen.selection is not None else chat.model
        answer = CallAnswer(reply, model, seen.cost)
        self._uses.append(answer.use)
        return answer

    def _pay(self, cost: int | None) -> None:
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self._left = None if self._left is None else max(0, self._left - (cost or 0))


def _empty_sample() -> Json:
    return {
        "input": [],
        "output": [],
        "finish_reason": "",
        "model": "",
        "max_completion_tokens": 0,
        "seed": 0,
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": _usage_object(ModelUse("")),
    }


def _asked_sample(body: Json) -> Json:
    sample = _empty_sample()
    known: Json = {
        name: body[name] for name in ("max_completion_tokens", "seed", "temperature", "top_p") if name in body
    }
    return {**sample, **known, "input": shown_messages(body["messages"]), "model": body["model"]}


def _given_sample(row: DataRow) -> Json:
    given = row.sample or {}
    text = given.get("output_text")
    output = [{"role": "assistant", "content": text}] if isinstance(text, str) else []
    asked = row.item.get("input")
    shown = shown_messages([each for each in asked if isinstance(each, dict)]) if isinstance(asked, list) else []
    return {**_empty_sample(), "input": shown, "output": output, "model": str(given.get("model", ""))}


def _answered(sample: Json, answer: CallAnswer, row: DataRow) -> tuple[Json, Json]:
    """The sample as it is shown, and what graders read."""
    choice = answer.reply.choices[0] if answer.reply.choices else None
    calls = [msgspec.to_builtins(each) for each in choice.tool_calls] if choice is not None else []
    text, reason = answer.reply.text, (choice.finish_reason if choice is not None else "") or "stop"
    message: Json = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    shown = {
        **sample,
        "output": [message],
        "finish_reason": reason,
        "model": answer.model,
        "usage": _usage_object(answer.use),
    }
    return shown, answer_values(row, text, calls, answer.model, reason)


def _usage_object(use: ModelUse) -> Json:
    return {
        "prompt_tokens": use.input,
        "completion_tokens": use.output,
        "cached_tokens": use.cached,
        "total_tokens": use.input + use.output,
    }
