"""Annotation queues: shows a person one item at a time, blind, and stores labels; decides no permission.

An item is held for one person for a while, and whoever holds it may always submit. Labels, the end of the claim and the
next claim are one transaction. Methods raise StorageError and EncryptionKeyUnavailable.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest, PathNotFound, did_you_mean
from sizewise.evals.annotation import tables
from sizewise.evals.annotation.agreement import ScoreAgreement, score_agreement
from sizewise.evals.annotation.shown_item import (
    ItemContent,
    ShownItem,
    chosen,
    content_of_record,
    read_content,
    shown_item,
)
from sizewise.evals.annotation.submission import Submission, claim_next, labeled_items, submit, target_of
from sizewise.evals.annotation.tables import CORRECTABLE, ITEMS_NAME, AnnotationItem, QueueCounts, QueuePlace
from sizewise.evals.scores.score_draft import MAX_COMMENT
from sizewise.evals.scores.tables import COMMENTS_NAME, ScoreRow, score_id
from sizewise.principal import Principal
from sizewise.settings.annotation import AnnotationSettings
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner, UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.telemetry.payload_log import PayloadLog
from sizewise.telemetry.payload_tables import find_payload

T = TypeVar("T")

SkipReason = Literal["unclear", "cannot_judge", "language", "sensitive", "broken"]
SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)
MAX_ADDED = 500
"""Items of one call."""
MAX_EXPIRED = 100
"""Items without a text that are passed over in one look."""


class AnnotationLabel(Struct, frozen=True, kw_only=True):
    """A label of a complete item, for calibration. `ref`: the answer's."""

    number: int
    ref: str
    score: str
    input: object
    answer: str
    expected: object
    criteria: str
    label: str
    value: float | None
    blind: bool
    probability: float | None


class QueueView(Struct, frozen=True):
    """A queue as one person sees it."""

    name: str
    settings: AnnotationSettings
    counts: QueueCounts


class AnnotationQueues:
    """One per process; outlives a reload. `clock`: unix seconds."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        payload_log: PayloadLog,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        executor: Executor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`executor` runs encryption."""
        self._encryption = encryption
        self._payload_log = payload_log
        self._read = read
        self._write = write
        self._executor = executor
        self._clock = clock
        self.queues: Mapping[str, AnnotationSettings] = MappingProxyType({})

    def prepare(self, queues: Mapping[str, AnnotationSettings]) -> Callable[[], None]:
        """Returns the function that applies them."""

        def apply() -> None:
            self.queues = MappingProxyType(dict(queues))

        return apply

    def find(self, name: str) -> AnnotationSettings:
        """Raises PathNotFound."""
        found = self.queues.get(name)
        if found is None:
            hint = did_you_mean(name, list(self.queues)) or "add [annotation.NAME] to sizewise.toml"
            raise PathNotFound(f"there is no annotation queue {name[:100]!r}", hint, param="name")
        return found

    async def view(self, principal: Principal, name: str) -> QueueView:
        """Raises PathNotFound."""
        queue = self.find(name)
        count = partial(tables.queue_counts, place=self._place(principal, name))
        return QueueView(name, queue, await asyncio.to_thread(self._read, count))

    async def next(self, principal: Principal, name: str) -> ShownItem | None:
        """The item that the person holds, for longer now, or another one; None: there is none for them."""
        self.find(name)
        return await self._shown(principal, name, await self._write(self._claim(principal, name)))

    async def annotate(
        self,
        principal: Principal,
        name: str,
        item: str,
        words: Mapping[str, str],
        comment: str | None = None,
        skip: SkipReason | None = None,
    ) -> ShownItem | None:
        """Stores a word for each score, or why the item is skipped, and returns the next item. Raises BadRequest,
        PathNotFound, and Conflict for an item that the person does not hold.
        """
        queue = self.find(name)
        find = partial(tables.find_item, place=self._place(principal, name), id=item)
        found = await asyncio.to_thread(self._read, find)
        if found is None:
            raise PathNotFound(f"the queue has no item {item[:100]!r}", "read the queue again for the next one")
        if comment is not None and len(comment) > MAX_COMMENT:
            raise BadRequest("the comment is too long", f"use at most {MAX_COMMENT:,} characters", param="comment")
        rows = [] if skip is not None else await self._labels(principal, name, queue, found, words)
        sealed = await self._encrypted_comment(rows, comment)

        place = self._place(principal, name)
        submission = Submission(item=found, scores=tuple(rows), sealed=sealed, reason=skip or "", at=self._now())
        until = submission.at + round(queue.claim_s * 1_000)
        following = await self._write(lambda c: submit(c, place, submission, until))
        return await self._shown(principal, name, following)

    async def labeled(self, principal: Principal, name: str) -> list[ShownItem]:
        """The person's last labels, which they may change, the last one first."""
        self.find(name)
        mine = partial(tables.last_labeled, place=self._place(principal, name), limit=CORRECTABLE)
        found = [await self._show(principal, name, each) for each in await asyncio.to_thread(self._read, mine)]
        return [each for each in found if each is not None]

    async def add(self, principal: Principal, name: str, items: Sequence[object]) -> int:
        """Adds items that the queue does not have; returns their number. Raises BadRequest, and Conflict if the queue
        is full.
        """
        queue = self.find(name)
        if not 1 <= len(items) <= MAX_ADDED:
            raise BadRequest(f"{len(items):,} items", f"add 1 to {MAX_ADDED} at a time", param="items")
        contents = [read_content(each) for each in items]
        rows = await self._in_thread(lambda: [self._given(principal, name, queue, each) for each in contents])
        return await self._write(lambda c: tables.insert_items(c, rows, queue.max_items))

    async def labels(self, principal: Principal, name: str, limit: int, after: int) -> list[AnnotationLabel]:
        """Labels of up to `limit` complete items with a number above `after`."""
        queue = self.find(name)

        place = self._place(principal, name)
        read = partial(labeled_items, place=place, scorer=scorer_of(name, queue), limit=limit, after=after)
        shown = list[AnnotationLabel]()
        for item, scores in await asyncio.to_thread(self._read, read):
            content = await self._content(item)
            shown += [] if content is None else [_label(item, content, each) for each in scores if each.label]
        return shown

    async def agreement(self, principal: Principal, name: str) -> list[ScoreAgreement]:
        """Of each score, over the complete items. Raises PathNotFound."""
        queue = self.find(name)
        place, scorer = self._place(principal, name), scorer_of(name, queue)
        found, after = list[Sequence[ScoreRow]](), 0
        while True:
            read = partial(labeled_items, place=place, scorer=scorer, limit=MAX_ADDED, after=after)
            items = await asyncio.to_thread(self._read, read)
            found += [rows for _, rows in items]
            if len(items) < MAX_ADDED:
                break
            after = items[-1][0].number
        return [score_agreement(score, found) for score in queue.scores]

    async def saw(self, principal: Principal, trace: str) -> None:
        """Notes that a person has read the record or the scores of a trace: their labels on it calibrate no judge."""
        if "annotate" in principal.permissions and self.queues:
            person = person_of(principal)
            await self._write(lambda c: tables.add_view(c, principal.tenant, person, trace))

    # ---- one item

    def _claim(self, principal: Principal, name: str) -> UnitOfWork[AnnotationItem | None]:
        now, place = self._now(), self._place(principal, name)
        return lambda c: claim_next(c, place, now, now + round(self.queues[name].claim_s * 1_000))

    def _place(self, principal: Principal, name: str) -> QueuePlace:
        return QueuePlace(principal.tenant, name, _project(principal), person_of(principal))

    async def _shown(self, principal: Principal, name: str, item: AnnotationItem | None) -> ShownItem | None:
        """Items whose text is gone are passed over, and not counted."""
        for _ in range(MAX_EXPIRED):
            if item is None:
                return None
            shown = await self._show(principal, name, item)
            if shown is not None:
                return shown
            await self._write(partial(tables.expire_item, item=item))
            item = await self._write(self._claim(principal, name))
        return None

    async def _show(self, principal: Principal, name: str, item: AnnotationItem) -> ShownItem | None:
        content = await self._content(item)
        if content is None:
            return None
        queue = self.queues[name]
        return shown_item(item.id, content, queue, person_of(principal), self._now() + round(queue.claim_s * 1_000))

    async def _content(self, item: AnnotationItem) -> ItemContent | None:
        """None if it was deleted."""
        if item.rule == "given":
            plain = await self._in_thread(
                partial(self._encryption.decrypt, item.sealed, item.tenant, ITEMS_NAME, item.id)
            )
            return msgspec.json.decode(plain, type=ItemContent)
        record = int(item.ref, 16)
        sealed = await asyncio.to_thread(self._read, lambda c: find_payload(c, item.tenant, record))
        if sealed is None:
            return None
        return content_of_record(await self._in_thread(partial(self._payload_log.decrypt, sealed, item.tenant, record)))

    async def _labels(
        self,
        principal: Principal,
        name: str,
        queue: AnnotationSettings,
        item: AnnotationItem,
        words: Mapping[str, str],
    ) -> list[ScoreRow]:
        """Raises BadRequest."""
        for each in words:
            if each not in queue.scores:
                raise BadRequest(
                    f"the queue has no score {each[:100]!r}", f"it has {', '.join(queue.scores)}", param="scores"
                )
        lacking = [each for each in queue.scores if each not in words]
        if lacking:
            raise BadRequest(f"a word for {', '.join(lacking)} is missing", "give one for each score", param="scores")
        content = await self._content(item)
        is_pair = content is not None and content.other is not None
        kind, target = target_of(item)
        found = list[ScoreRow]()
        for score, scale in queue.scores.items():
            value, label = chosen(item.id, is_pair, scale, words[score], person_of(principal))
            row = ScoreRow(
                tenant=item.tenant,
                project=item.project,
                kind=kind,
                target=target,
                name=score,
                source="person",
                author=person_of(principal),
                value=value,
                label=label,
                scorer=scorer_of(name, queue),
                weight=1.0 / item.probability if item.probability else 1.0,
                created=self._now(),
                trace=item.trace,
                session=item.session,
                end_user=item.end_user,
                about_key=item.about_key,
                caller_key=principal.key_id,
                caller_user=principal.user_id,
            )
            found.append(replace(row, id=score_id(row)))
        return found

    async def _encrypted_comment(self, rows: list[ScoreRow], comment: str | None) -> bytes | None:
        """Of the first row, which is marked."""
        if not comment or not rows:
            return None
        rows[0] = replace(rows[0], commented=True)
        plain = comment.encode("utf-8", "replace")
        return await self._in_thread(
            partial(self._encryption.encrypt, plain, rows[0].tenant, COMMENTS_NAME, rows[0].id)
        )

    def _given(
        self, principal: Principal, name: str, queue: AnnotationSettings, content: ItemContent
    ) -> AnnotationItem:
        id = new_item_id()
        return AnnotationItem(
            tenant=principal.tenant,
            project=principal.project,
            queue=name,
            id=id,
            ref=content.ref,
            rule="given",
            probability=None,
            labels=queue.labels,
            created=self._now(),
            sealed=self._encryption.encrypt(msgspec.json.encode(content), principal.tenant, ITEMS_NAME, id),
            caller_key=principal.key_id,
            caller_user=principal.user_id,
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _now(self) -> int:
        return round(self._clock() * 1_000)


def person_of(principal: Principal) -> str:
    return principal.user_id or principal.key_id


def scorer_of(name: str, queue: AnnotationSettings) -> str:
    """NAME@VERSION: another rubric or other words make labels of another kind."""
    said = msgspec.json.encode([queue.rubric.strip(), dict(queue.scores)], order="sorted")
    return f"{name}@{sha256(said).hexdigest()[:8]}"


def new_item_id() -> str:
    return secrets.token_hex(8)


def _project(principal: Principal) -> str:
    """The only project whose items a person sees; empty: all."""
    return "" if principal.all_projects else principal.project


def _label(item: AnnotationItem, content: ItemContent, score: ScoreRow) -> AnnotationLabel:
    return AnnotationLabel(
        number=item.number,
        ref=item.ref,
        score=score.name,
        input=content.input,
        answer=content.answer,
        expected=content.expected,
        criteria=content.criteria,
        label=score.label or "",
        value=score.value,
        blind=bool(score.blind),
        probability=item.probability,
    )
