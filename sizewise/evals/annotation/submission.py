"""Transactions of a queue: who holds an item, and what a submission changes; reads and encrypts no text."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from sizewise.errors import Conflict
from sizewise.evals.annotation import tables
from sizewise.evals.annotation.tables import CORRECTABLE, AnnotationItem, QueuePlace
from sizewise.evals.scores.tables import ScoreRow, labels_of, put_score, with_record_labels
from sizewise.telemetry.record_queries import record_by_id


class Submission(Struct, frozen=True, kw_only=True):
    """`scores`: of the item, without what was known of it; none: it is skipped. `sealed`: comment of the first score.
    `at`: unix ms.
    """

    item: AnnotationItem
    scores: tuple[ScoreRow, ...]
    sealed: bytes | None
    reason: str
    at: int


def claim_next(connection: Connection, place: QueuePlace, now: int, until: int) -> AnnotationItem | None:
    """The item that the person holds, also after their time was over, or a free one; held until `until` (unix ms)."""
    item = tables.held_item(connection, place) or tables.free_item(connection, place, now)
    if item is None:
        return None
    tables.release_claims(connection, place, but=item.id)
    tables.set_claim(connection, item, place.person, "held", until)
    return item


def submit(connection: Connection, place: QueuePlace, submission: Submission, until: int) -> AnnotationItem | None:
    """Stores the labels, closes the claim, and claims the next item until `until`. Raises Conflict for an item that the
    person does not hold, and has not labeled lately.
    """
    item = submission.item
    before = tables.claim_state(connection, item, place.person)
    if before == "labeled" and not any(
        each.id == item.id for each in tables.last_labeled(connection, place, CORRECTABLE)
    ):
        raise Conflict(f"the item {item.id} was labeled long ago", f"your last {CORRECTABLE} labels can be changed")
    if before is None:
        raise Conflict(f"you do not hold the item {item.id}", "read the queue again for the next one")
    for number, row in enumerate(submission.scores):
        record = record_by_id(connection, row.tenant, int(row.target, 16)) if row.kind == "record" else None
        labeled = row if record is None else with_record_labels(row, record)
        seen = labeled.trace is not None and tables.has_view(connection, row.tenant, place.person, labeled.trace)
        put_score(connection, replace(labeled, blind=not seen), None if number else submission.sealed)
    if submission.scores:
        tables.set_claim(connection, item, place.person, "labeled", submission.at)
        if before != "labeled":
            tables.count_label(connection, item)
    elif before == "held":
        tables.set_claim(connection, item, place.person, "skipped", submission.at, submission.reason)
    return claim_next(connection, place, submission.at, until)


def labeled_items(
    connection: Connection, place: QueuePlace, scorer: str, limit: int, after: int
) -> list[tuple[AnnotationItem, list[ScoreRow]]]:
    """Items with all their labels, above the number `after`, and these labels."""
    items = tables.complete_items(connection, place, limit, after)
    targets = [target_of(each) for each in items]
    found = labels_of(connection, place.tenant, targets, scorer) if targets else []
    return [(each, [its for its in found if (its.kind, its.target) == target_of(each)]) for each in items]


def target_of(item: AnnotationItem) -> tuple[Literal["record", "item"], str]:
    return ("item", item.ref) if item.rule == "given" else ("record", item.ref)
