"""Score store: adds scores to what was answered, and lists them; encrypts comments; decides no access to lists.

Every method raises StorageError; those with comments also EncryptionKeyUnavailable.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest, Conflict
from sizewise.evals.scores import tables
from sizewise.evals.scores.score_draft import ScoreDraft, scored_records
from sizewise.evals.scores.tables import COMMENTS_NAME, ScoreFilter, ScoreRow, put_score, score_id, with_record_labels
from sizewise.evals.tables import Feedback, replace_feedback
from sizewise.principal import Principal
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner, UnitOfWork, with_event
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.telemetry.record_queries import RecordFilter, newest_records, record_by_id
from sizewise.telemetry.spans import span_id
from sizewise.telemetry.tables import RequestRecord

MAX_SCORES = 1_000
"""Scores per list."""
MAX_RECORDS = 100
"""Records of a target that are looked at."""


class ScorePage(Struct, frozen=True):
    """Newest first. `before`: where the next page goes on; None: there are no more."""

    rows: list[ScoreRow]
    before: int | None


class ScoreStore:
    """One per process."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        executor: Executor,
        flush_records: Callable[[], Awaitable[None]],
    ) -> None:
        """`executor` runs encryption. `flush_records` returns when accepted records can be read."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor
        self._flush_records = flush_records

    async def add(self, principal: Principal, draft: ScoreDraft) -> tuple[ScoreRow, list[Feedback]]:
        """Stores a score in place of the caller's earlier one of this name, source and target; with the feedback on
        each model that it is, if it is a user's value for a trace. Raises BadRequest, Forbidden, PathNotFound.
        """
        draft.check(principal)
        await self._flush_records()
        found = scored_records(await asyncio.to_thread(self._read, _records(principal, draft)), principal, draft)
        row = _row(principal, draft, found[0])
        feedback = _feedback(principal, draft, found)
        sealed = await self._encrypted(row, draft.comment)

        await self._put(with_event(lambda c: put_score(c, row, sealed), lambda c: replace_feedback(c, feedback)))
        return row, feedback

    async def page(self, criteria: ScoreFilter, limit: int, before: int | None = None) -> ScorePage:
        """Raises BadRequest unless `limit` is from 1 to MAX_SCORES."""
        if not 1 <= limit <= MAX_SCORES:
            raise BadRequest(f"cannot list {limit!r} scores", f"use 1 to {MAX_SCORES}", param="last")
        rows = await asyncio.to_thread(self._read, lambda c: tables.page_of_scores(c, criteria, limit + 1, before))
        return ScorePage(rows[:limit], rows[limit - 1].number if len(rows) > limit else None)

    async def of_traces(self, tenant: str, traces: Sequence[str]) -> dict[str, list[ScoreRow]]:
        """Scores by the trace that they are about, at most MAX_SCORES in all."""
        found = dict[str, list[ScoreRow]]()
        rows = await asyncio.to_thread(self._read, lambda c: tables.scores_of_traces(c, tenant, traces, MAX_SCORES))
        for row in rows:
            found.setdefault(row.trace or "", []).append(row)
        return found

    async def comment(self, tenant: str, score: str) -> str | None:
        sealed = await asyncio.to_thread(self._read, lambda c: tables.find_comment(c, tenant, score))
        if sealed is None:
            return None
        decrypt = partial(self._encryption.decrypt, sealed, tenant, COMMENTS_NAME, score)
        return (await asyncio.get_running_loop().run_in_executor(self._executor, decrypt)).decode()

    async def _encrypted(self, row: ScoreRow, comment: str | None) -> bytes | None:
        if not comment:
            return None
        plain = comment.encode("utf-8", "replace")
        encrypt = partial(self._encryption.encrypt, plain, row.tenant, COMMENTS_NAME, score_id(row))
        return await asyncio.get_running_loop().run_in_executor(self._executor, encrypt)

    async def _put(self, work: UnitOfWork[None]) -> None:
        try:
            await self._write(work)
        except Conflict:  # another server has added it meanwhile: now it is replaced
            await self._write(work)


def score_position(before: str | None) -> int | None:
    """Raises BadRequest for a `before` that no page had."""
    if before is None:
        return None
    if re.fullmatch(r"\d{1,18}", before) is None:
        raise BadRequest(
            f"no page of scores goes on at {before[:100]!r}", "pass `before` of the last page", param="before"
        )
    return int(before)


def _records(principal: Principal, draft: ScoreDraft) -> UnitOfWork[list[RequestRecord]]:
    if draft.span:
        return lambda c: list(filter(None, [record_by_id(c, principal.tenant, int(draft.span, 16))]))
    criteria = RecordFilter(principal.tenant, trace=draft.trace, session=draft.session)
    return lambda c: newest_records(c, criteria, MAX_RECORDS)


def _row(principal: Principal, draft: ScoreDraft, record: RequestRecord) -> ScoreRow:
    target = {"trace": record.trace, "record": span_id(record.id)}.get(draft.kind, draft.session)
    row = ScoreRow(
        tenant=principal.tenant,
        project=record.project,
        kind=draft.kind,
        target=target,
        name=draft.name,
        source=draft.source,
        author=(principal.user_id or principal.key_id) if draft.source == "person" else principal.key_id,
        value=draft.value,
        label=draft.label,
        scorer=draft.scorer,
        commented=bool(draft.comment),
        created=time.time_ns() // 1_000_000,
        caller_key=principal.key_id,
        caller_user=principal.user_id,
    )
    row = with_record_labels(row, record)
    row = replace(row, trace=None, model=None, policy=None) if draft.kind == "session" else row
    return replace(row, id=score_id(row))


def _feedback(principal: Principal, draft: ScoreDraft, found: Sequence[RequestRecord]) -> list[Feedback]:
    """One row for each policy and model that answered in the trace."""
    if draft.kind != "trace" or draft.source != "user" or draft.value is None:
        return []
    answered = {(its.policy, its.model): its for its in found}
    return [
        Feedback(
            tenant=its.tenant,
            project=its.project,
            policy=its.policy,
            model=its.model,
            trace=its.trace,
            at=time.time_ns() // 1_000_000,
            key=principal.key_id,
            kind=draft.name,
            score=draft.value,
        )
        for its in answered.values()
    ]
