"""Fields of annotation queues: items one at a time, blind, and labels; knows nothing of who answered."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest
from sizewise.evals.annotation.queue_store import SKIP_REASONS, AnnotationLabel, QueueView, SkipReason
from sizewise.evals.annotation.shown_item import ShownItem
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

TEXTS = ("input", "answer", "expected", "criteria")
"""Of a label, which take read_contents."""


async def annotation_queues(context: RequestContext) -> list[FieldValues]:
    return [await annotation_queue(context, name) for name in context.services.annotation.queues]


async def annotation_queue(context: RequestContext, name: str) -> FieldValues:
    """Raises PathNotFound. `next` is held for the caller once it is read."""
    return _queue(context, await context.services.annotation.view(context.principal, name))


async def annotate(
    context: RequestContext,
    queue: str,
    item: str,
    scores: object = None,
    comment: str | None = None,
    skip: SkipReason | None = None,
) -> FieldValues:
    """Raises BadRequest, PathNotFound, and Conflict for an item that the caller does not hold."""
    try:
        words = msgspec.convert(scores or {}, dict[str, str])
    except msgspec.ValidationError as error:
        raise BadRequest("`scores` is no object of words", 'such as {"resolved": "yes"}', param="scores") from error
    if bool(words) is (skip is not None):
        raise BadRequest("an item is labeled or skipped", "give `scores` or `skip`", param="scores")
    found = await context.services.annotation.annotate(context.principal, queue, item, words, comment, skip)
    view = await context.services.annotation.view(context.principal, queue)
    return {**_counts(view), "next": await _opened(context, found)}


async def add_annotation_items(context: RequestContext, queue: str, items: object) -> FieldValues:
    """Raises BadRequest, PathNotFound."""
    given = items if isinstance(items, list) else [items]
    added = await context.services.annotation.add(context.principal, queue, given)
    return {"added": added, "known": len(given) - added}


async def annotation_labels(context: RequestContext, queue: str, first: int = 100, after: int = 0) -> list[FieldValues]:
    """Raises PathNotFound; texts raise Forbidden without read_contents. Each reading is written to the audit log."""
    context.charge_rows(first)
    services, principal = context.services, context.principal
    found = await services.annotation.labels(principal, queue, first, after)
    await services.audit_log.append(audit_event(principal, principal.tenant, "read_contents", f"labels:{queue}"))
    return [_label(context, each) for each in found]


def _label(context: RequestContext, label: AnnotationLabel) -> FieldValues:
    def text(name: str) -> Callable[[object], object]:
        def read(info: object) -> object:
            context.require("read_contents")
            return getattr(label, name)

        return read

    return {**msgspec.structs.asdict(label), **{name: text(name) for name in TEXTS}}


def _queue(context: RequestContext, view: QueueView) -> FieldValues:
    service, principal = context.services.annotation, context.principal

    async def next(info: object) -> FieldValues | None:
        context.require("annotate")
        return await _opened(context, await service.next(principal, view.name))

    async def labeled(info: object) -> list[FieldValues]:
        context.require("annotate")
        return [_item(each) for each in await service.labeled(principal, view.name)]

    async def agreement(info: object) -> list[FieldValues]:
        context.require("manage_evals")  # who labels must not learn what others said
        return [msgspec.structs.asdict(each) for each in await service.agreement(principal, view.name)]

    its = view.settings
    return {
        "name": view.name,
        "rubric": its.rubric,
        "scores": [{"name": name, "words": words} for name, words in its.scores.items()],
        "labels": its.labels,
        "wanted": its.wanted,
        "rules": [
            *([f"{its.random:g} of the answers at random"] if its.random else []),
            *(["answers that a user gave a score below 0.5"] if its.thumbs_down else []),
            *(["answers of which a judge was unsure"] if its.unsure else []),
        ],
        "skipReasons": SKIP_REASONS,
        **_counts(view),
        "next": next,
        "labeled": labeled,
        "agreement": agreement,
    }


def _counts(view: QueueView) -> FieldValues:
    return {"needed": view.counts.needed, "done": view.counts.done, "mine": view.counts.mine}


async def _opened(context: RequestContext, item: ShownItem | None) -> FieldValues | None:
    """Each item that is opened is in the audit log."""
    if item is None:
        return None
    event = audit_event(context.principal, context.principal.tenant, "annotate", f"item:{item.id}")
    await context.services.audit_log.append(event)
    return _item(item)


def _item(item: ShownItem) -> FieldValues:
    options = [{"name": name, "words": words} for name, words in item.options.items()]
    return {**msgspec.structs.asdict(item), "options": options}
