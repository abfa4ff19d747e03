"""Runs a batch: checks its file, has the API answer each request as its creator's, and writes the result files.

Each result is on disk before it counts. A batch that was stopped, also by kill -9, goes on with the requests that have
none; those in flight are asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.batches.batch_file import (
    BatchError,
    BatchLine,
    BatchResult,
    LineChecks,
    read_line,
    read_lines,
    result_line,
)
from sizewise.batches.batch_queue import BatchQueue, stamped
from sizewise.batches.batch_store import BatchContent, BatchStore, StoredBatch, now_ms
from sizewise.batches.tables import BatchRow, BatchStatus
from sizewise.errors import (
    BodyTooLarge,
    BudgetExceeded,
    EncryptionKeyUnavailable,
    InvalidApiKey,
    ServerStopping,
    StorageError,
)
from sizewise.files.file_store import FileUpload, StoredFile
from sizewise.gateway.batch_request import BatchCall, CallResponse, own_max_cost
from sizewise.gateway.stored_caller import stored_principal
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.jobs.run_queue import RetryLater, StopFlag
from sizewise.jobs.shared_budget import SharedBudget
from sizewise.principal import Principal
from sizewise.telemetry.usage_query import HOUR_MS, UsageQuery
from sizewise.telemetry.usage_report import read_usage
from sizewise.telemetry.usage_tables import COST

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LASTING_CODES = frozenset({"insufficient_quota", "model_unavailable"})
"""Errors with such a status that waiting does not mend."""
MAX_TRIES = 5
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 60.0
"""Before a request is tried again, unless the answer says how long: doubled with each try."""
PAGE = 500
"""Results that are read at once."""
FULL_WAIT_S = 60.0
"""Between attempts to write the result files, while no more files fit."""
EXPIRED = "batch_expired", "the request was not answered within the batch's completion window"
SPENT = BudgetExceeded.code, "the batch has cost as much as `max-cost-usd` allows"

Line = tuple[int, bytes, int | None]
"""A position in the file, its line, and the pico-dollars that it may cost."""
T = TypeVar("T")


class ApiBatchRunner:
    """The runner of this API. `get_app`: the current application; one request has one."""

    def __init__(self, get_app: Callable[[], Application], queue: BatchQueue) -> None:
        self._get_app = get_app
        self._queue = queue

    async def run(self, row: BatchRow, flag: StopFlag) -> bool:
        """Step by step; each begins with what is stored. Raises RetryLater while its result files cannot be written."""
        while True:
            stored = await self._queue.until_stored(
                lambda: self._queue.store.find(row.tenant, row.project, row.id),
            )
            if stored is None:
                return True
            stored = replace(stored, row=replace(stored.row, server=row.server))
            if flag.is_set and stored.row.status != "finalizing":
                return False
            run = _BatchRun(self._get_app, self._queue, stored, flag)
            match stored.row.status:
                case "validating":
                    await run.validate()
                case "in_progress":
                    if not await run.answer():
                        return False
                case "finalizing" | "cancelling":
                    await run.finish()
                case _:
                    return True


class _BatchRun:
    def __init__(
        self, get_app: Callable[[], Application], queue: BatchQueue, stored: StoredBatch, flag: StopFlag
    ) -> None:
        self._get_app = get_app
        self._queue = queue
        self._store: BatchStore = queue.store
        self._row, self._content = stored.row, stored.content
        self._flag = flag
        self._done = set[int]()
        self._spent = stored.row.cost
        self._shares = SharedBudget(self._store.limits.concurrency)
        self._cut: tuple[str, str] | None = None
        self._is_over = False  # canceled, deleted or another server's

    # ---- step 1: the file

    async def validate(self) -> None:
        checks = LineChecks(self._content.endpoint, self._store.limits.max_requests)
        offload = self._get_app().resources.offload
        try:
            async for lines in self._lines():
                await offload.run(8 * sum(map(len, lines)), checks.check, lines)
                if len(checks.errors) > 0 and checks.total > self._store.limits.max_requests:
                    break
        except _FileIsGone:
            checks.errors.append(BatchError("invalid_file", f"there is no file {self._content.input_file!r} any more"))
        if not checks.errors and not checks.total:
            checks.errors.append(BatchError("empty_file", "the file has no requests"))
        if checks.errors:
            await self._change("failed", "failed_at", errors=checks.errors)
        else:
            await self._change("in_progress", "in_progress_at", total=checks.total)

    # ---- step 2: the answers

    async def answer(self) -> bool:
        """False: it was stopped, and goes on elsewhere or later."""
        self._done = set(await self._kept(lambda: self._store.answered(self._row.id)))
        if self._content.max_cost is not None:
            self._spent = await self._booked()
        jobs = self._until_gone(self._open_lines())
        try:
            await map_batches(jobs, self._answer_line, concurrency=self._store.limits.concurrency)
        except ServerStopping:
            return False
        if self._is_over:
            return True  # the next step looks at what it is now
        if self._cut is None and len(self._done) < self._row.total:
            return False
        await self._change("finalizing", "finalizing_at", cut=self._cut)
        return True

    async def _until_gone(self, jobs: AsyncIterator[Batch[Line]]) -> AsyncIterator[Batch[Line]]:
        """The end of the file, also where it was deleted: then `_cut` is set, and what is in flight goes on."""
        try:
            async for job in jobs:
                yield job
        except _FileIsGone:
            self._cut = self._cut or ("invalid_file", f"the file {self._content.input_file!r} was deleted")

    async def _open_lines(self) -> AsyncIterator[Batch[Line]]:
        """Raises _FileIsGone."""
        most = self._content.max_cost
        position = -1
        async for lines in self._lines():
            for line in lines:
                position += 1
                if position in self._done:
                    continue
                await self._shares.turn()
                if self._cut is None and now_ms() >= self._row.expires:
                    self._cut = EXPIRED
                if self._cut is None and most is not None and self._spent >= most:
                    self._cut = SPENT
                if self._has_ended:
                    return
                yield Batch(str(position), (position, line, self._shares.take(self._left)))

    async def _answer_line(self, job: Line) -> None:
        """Raises ServerStopping if it was not answered because the server stops."""
        position, line, share = job
        try:
            result = await self._result(read_line(line), share)
        except _ShareTooSmall as refused:
            self._cut = self._cut or (BudgetExceeded.code, str(refused))
            return
        if result is None:
            return
        await self._kept(self._get_app().resources.services.records.flush)  # no result without its record
        status = await self._kept(lambda: self._store.insert_result(self._row, position, result))
        self._done.add(position)
        self._is_over = self._is_over or status != "in_progress"

    async def _result(self, line: BatchLine, share: int | None) -> BatchResult | None:
        """None if the batch has ended, or an error would meet every further request as well: then `_cut` is set. Raises
        _ShareTooSmall if it could cost more than all that is left. The share is put back.
        """
        costs, tries = list[int](), 0
        while True:
            tries += 1
            ask = partial(self._ask, line, costs, tries > 1)
            response = await self._shares.spend(share, ask, lambda: self._left or 0, _ShareTooSmall)
            if response is None:
                return None
            is_lasting = response.status not in RETRIED_STATUSES or response.error_code in LASTING_CODES
            if is_lasting or tries == MAX_TRIES or now_ms() >= self._row.expires:
                return _batch_result(line.custom_id, response, costs)
            if self._flag.is_set:
                raise ServerStopping("the server stops", "the batch goes on when it is back")
            share = self._shares.take(self._left)  # before it waits, so that it keeps its place
            await asyncio.sleep(min(response.retry_after or FIRST_WAIT_S * 2 ** (tries - 1), MAX_WAIT_S))

    async def _ask(self, line: BatchLine, costs: list[int], is_retry: bool, share: int | None) -> CallResponse | None:
        """One try, whose cost is added to `costs`, also if it is refused. None: as `_result`. Raises _ShareTooSmall."""
        if self._is_over or (self._has_ended and not is_retry):
            return None
        app, content = self._get_app(), self._content
        try:
            principal = self._creator(app)
        except InvalidApiKey as error:
            self._cut = error.code, error.message
            return None
        call = BatchCall.of(principal, content.address, content.options, batch=self._row.id, share=share)
        response = await call.answer(app, content.endpoint, bytes(line.body))
        if response.cost is not None:
            self._spent += response.cost
            costs.append(response.cost)
        code = response.error_code
        if code == ServerStopping.code:
            raise ServerStopping("the server stops", "the batch goes on when it is back")
        if code != BudgetExceeded.code or _is_own_limit(line, share):
            return response
        if share is not None:
            left = "as is left of the batch's `max-cost-usd`: raise it, or set `max_tokens` in the requests"
            raise _ShareTooSmall(f"{response.error_message}, {left}")
        self._cut = code, response.error_message
        return None

    # ---- step 3: the result files

    async def finish(self) -> None:
        """Raises RetryLater if a result file cannot be written now; one that was written is kept."""
        is_canceled = self._row.status == "cancelling"
        done = set(await self._kept(lambda: self._store.answered(self._row.id)))
        left = 0 if is_canceled else self._row.total - len(done)
        try:
            if not self._content.output_file:
                output = await self._write_file("output", self._results(failed=False))
                await self._remember(replace(self._content, output_file=output))
            errors = await self._write_file("error", self._failures(done if left else None))
        except BodyTooLarge as error:
            full = BatchError("result_files_full", f"{error.message}: {error.hint}")
            await self._remember(replace(self._content, errors=[full]))
            raise RetryLater(FULL_WAIT_S) from error
        except (StorageError, EncryptionKeyUnavailable) as error:
            raise RetryLater(FULL_WAIT_S) from error
        cut, by_code = self._content.cut, await self._kept(lambda: self._store.count_errors(self._row.id))
        if left:
            code = (cut or EXPIRED)[0]
            by_code[code] = by_code.get(code, 0) + left
        self._content = replace(self._content, error_file=errors, errors=[], request_errors=by_code)
        ended: BatchStatus = "cancelled" if is_canceled else "expired" if cut == EXPIRED else "completed"
        await self._change(ended, f"{ended}_at", failed=left, cost=await self._booked())

    async def _write_file(self, kind: str, contents: AsyncIterator[bytes]) -> str:
        """The id of the new file; empty, and there is none, if it would be empty. Raises BodyTooLarge."""
        app, row = self._get_app(), self._row
        owner = Principal(row.tenant, row.project, row.caller.key, user_id=row.caller.user)
        files, most = app.resources.services.files, app.settings.files.max_bytes
        upload: FileUpload | None = None
        try:
            async for lines in contents:
                upload = upload or await files.begin(owner, f"{row.id}_{kind}.jsonl", max_bytes=most)
                await upload.write(lines)
            if upload is None:
                return ""
            expires = now_ms() + 1_000 * self._content.files_expire_s
            return (await upload.finish("batch_output", expires)).id
        except BaseException:
            if upload is not None:
                await asyncio.shield(upload.abort())
            raise

    async def _failures(self, answered: set[int] | None) -> AsyncIterator[bytes]:
        """`answered`: positions that have a result; those of the file that have none follow. None: all have one."""
        async for lines in self._results(failed=True):
            yield lines
        if answered is not None:
            async for lines in self._unanswered(answered):
                yield lines

    async def _results(self, *, failed: bool) -> AsyncIterator[bytes]:
        row, after = self._row, -1
        while found := await self._store.results(row, after, failed=failed, limit=PAGE):
            yield b"".join(result_line(_result_id(row, at), result) for at, result in found)
            after = found[-1][0]

    async def _unanswered(self, answered: set[int]) -> AsyncIterator[bytes]:
        cut, position = self._content.cut or EXPIRED, -1
        try:
            async for lines in self._lines():
                written = list[bytes]()
                for line in lines:
                    position += 1
                    if position not in answered:
                        result = BatchResult(read_line(line).custom_id, "", error=cut)
                        written.append(result_line(_result_id(self._row, position), result))
                if written:
                    yield b"".join(written)
        except _FileIsGone:
            return

    # ---- what the steps share

    async def _lines(self) -> AsyncIterator[list[bytes]]:
        """Raises _FileIsGone."""
        files, row = self._get_app().resources.services.files, self._row
        found: StoredFile | None = await self._kept(
            lambda: files.find(self._content.input_file, row.tenant, row.project),
        )
        if found is None:
            raise _FileIsGone
        async for lines in read_lines(self._parts(found)):
            yield lines

    async def _parts(self, file: StoredFile) -> AsyncIterator[bytes]:
        """Raises _FileIsGone."""
        files, left, number = self._get_app().resources.services.files, file.size, 0
        while left > 0:
            part = await self._kept(partial(files.read_part, file, self._row.tenant, number))
            if part is None:
                raise _FileIsGone
            yield part
            left, number = left - len(part), number + 1

    @property
    def _left(self) -> int | None:
        """Pico-dollars that it may still cost; None: it has no limit."""
        return None if self._content.max_cost is None else self._content.max_cost - self._spent

    @property
    def _has_ended(self) -> bool:
        return self._cut is not None or self._is_over or self._flag.is_set

    async def _booked(self) -> int:
        """Pico-dollars of all records of the batch, also of answers that a kill -9 kept from being stored; at least
        those of its results, whose records may be summed up without their tags.
        """
        services, row = self._get_app().resources.services, self._row
        query = UsageQuery(
            tenant=row.tenant,
            since=row.created // HOUR_MS,
            until=now_ms() // HOUR_MS + 1,
            filters={"project": row.project, "tag": row.id},
        )
        await self._kept(services.records.flush_if_healthy)
        read = partial(services.storage.database.read_transaction, partial(read_usage, query=query))
        report = await self._kept(partial(asyncio.to_thread, read))
        return max(row.cost, report.total[COST])

    def _creator(self, app: Application) -> Principal:
        """Raises InvalidApiKey if the creator may no longer ask."""
        return stored_principal(app, self._row.caller, self._row.tenant, self._row.project, "the batch")

    async def _change(
        self,
        status: BatchStatus,
        time_name: str,
        *,
        errors: list[BatchError] | None = None,
        total: int | None = None,
        failed: int = 0,
        cost: int | None = None,
        cut: tuple[str, str] | None = None,
    ) -> None:
        """From the status that it had when this step began; nothing if that has changed."""
        content: BatchContent = replace(self._content, times=stamped(self._content.times, time_name))
        if errors is not None:
            content = replace(content, errors=errors)
        if cut is not None:
            content = replace(content, cut=cut)
        was = (self._row.status,)
        await self._kept(
            lambda: self._store.change(self._row, content, was, status, total=total, failed=failed, cost=cost),
        )

    async def _remember(self, content: BatchContent) -> None:
        """Stores it with the status that it had when this step began."""
        self._content, status = content, self._row.status
        await self._kept(lambda: self._store.change(self._row, content, (status,), status))

    async def _kept(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._queue.until_stored(work)


class _ShareTooSmall(Exception):
    """A request could cost more than its share of the batch's `max-cost-usd`."""


class _FileIsGone(Exception):
    """The batch's file was deleted or has expired."""


def _result_id(row: BatchRow, position: int) -> str:
    return f"batch_req_{row.id.removeprefix('batch_')}_{position}"


def _is_own_limit(line: BatchLine, share: int | None) -> bool:
    """Whether the request allows itself no more than its share."""
    own = own_max_cost(line.body)
    return own is not None and (share is None or own <= share)


def _batch_result(custom_id: str, response: CallResponse, costs: list[int]) -> BatchResult:
    """`costs`: pico-dollars of its tries, where they are known."""
    return BatchResult(
        custom_id=custom_id,
        trace=response.trace,
        status=response.status,
        body=response.body,
        model=response.model,
        cost=sum(costs) if costs else None,
    )
