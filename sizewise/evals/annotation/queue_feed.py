"""Feed of annotation queues: adds stored answers by the queue's rules, on the server that leads; labels nothing.

Random items are drawn by a hash of record and queue, so that each answer has the same known chance, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b

from sizewise.evals.annotation import tables
from sizewise.evals.annotation.queue_store import AnnotationQueues, new_item_id
from sizewise.evals.annotation.tables import ITEMS_NAME, AnnotationCandidate, AnnotationItem, Rule
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.settings.annotation import AnnotationSettings
from sizewise.storage.database import TransactionRunner, UnitOfWork, with_event
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.leader_lease import Leadership
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.spans import span_id

INTERVAL_S = 30.0
LAG_MS = 10_000
"""Contents are stored some moments after their record."""
BATCH = 500
DOUBLE_SHARE = 0.1
"""Of random items, those that go to two people: how far people agree is the most that a judge can."""
ALL_TENANTS = ""


class QueueFeed:
    """One per server."""

    def __init__(
        self,
        *,
        queues: AnnotationQueues,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        leadership: Leadership,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queues = queues
        self._encryption = encryption
        self._read = read
        self._leadership = leadership
        self._clock = clock

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("annotation queues", INTERVAL_S, self.feed, at_once=True, leader_only=True)]

    async def feed(self) -> None:
        """Adds what came since the last time. Raises StorageError."""
        for name, queue in self._queues.queues.items():
            while queue.random or queue.thumbs_down or queue.unsure:
                rows, record, score, is_more = await asyncio.to_thread(self._batch, name, queue)
                await self._leadership.write(_stored(name, rows, queue.max_items, record, score))
                if not is_more:
                    break

    def _batch(self, name: str, queue: AnnotationSettings) -> tuple[list[AnnotationItem], int, int, bool]:
        """New items, and up to which record and score; whether there are more."""
        until = ((round(self._clock() * 1_000) - LAG_MS) * 1_000) << PROCESS_BITS
        record, score = self._read(partial(tables.queue_position, tenant=ALL_TENANTS, queue=name)) or (0, 0)
        found = self._read(partial(tables.random_candidates, after=record, until=until, limit=BATCH))
        ids, unsure = [each.record for each in found], set[int]()
        if queue.unsure and ids:
            low, high = queue.unsure
            unsure = self._read(partial(tables.judged_candidates, ids=ids, low=low, high=high))
        rows = [self._row(name, queue, each, "random") for each in found if draw(name, each.record) < queue.random]
        rows += [self._row(name, queue, each, "unsure") for each in found if each.record in unsure]
        liked = score
        if queue.thumbs_down:
            disliked, liked = self._read(partial(tables.disliked_candidates, after=score, limit=BATCH))
            rows += [self._row(name, queue, each, "thumbs_down") for each in disliked]
        is_more = len(found) == BATCH or liked > score
        return rows, max(ids, default=record), liked, is_more

    def _row(self, name: str, queue: AnnotationSettings, candidate: AnnotationCandidate, rule: Rule) -> AnnotationItem:
        id, is_random = new_item_id(), rule == "random"
        twice = is_random and draw(f"{name}/twice", candidate.record) < DOUBLE_SHARE
        return AnnotationItem(
            tenant=candidate.tenant,
            project=candidate.project,
            queue=name,
            id=id,
            ref=span_id(candidate.record),
            rule=rule,
            probability=queue.random if is_random else None,
            labels=max(queue.labels, 2) if twice else queue.labels,
            created=round(self._clock() * 1_000),
            sealed=self._encryption.encrypt(b"{}", candidate.tenant, ITEMS_NAME, id),
            trace=candidate.trace,
            session=candidate.session,
            end_user=candidate.end_user,
            about_key=candidate.key,
        )


def draw(name: str, record: int) -> float:
    """0..1, the same for one record and queue."""
    return int.from_bytes(blake2b(f"{name}/{record}".encode(), digest_size=8).digest()) / 2**64


def _stored(name: str, rows: Iterable[AnnotationItem], max_open: int, record: int, score: int) -> UnitOfWork[int]:
    added = partial(tables.insert_items, rows=list(rows), max_open=max_open)
    return with_event(added, partial(tables.set_position, tenant=ALL_TENANTS, queue=name, record=record, score=score))
