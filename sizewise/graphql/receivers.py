"""Fields of receivers of notifications, and what waits for them in the outbox."""

from __future__ import annotations

import asyncio

from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.notifications.receivers import receiver_kinds
from sizewise.notifications.tables import ReceiverStatus


async def receivers(context: RequestContext) -> list[FieldValues]:
    """None for other organizations than the first: receivers belong to the server."""
    context.require_all_projects("read_records")
    if context.principal.tenant != DEFAULT_TENANT:
        return []
    kinds = receiver_kinds(context.app.settings)
    found = {each.receiver: each for each in await asyncio.to_thread(context.services.deliveries.statuses)}
    return [_receiver(found.get(name) or ReceiverStatus(name), kind) for name, kind in kinds.items()]


def _receiver(status: ReceiverStatus, kind: str) -> FieldValues:
    return {
        "name": status.receiver,
        "kind": kind,
        "waiting": status.waiting,
        "delivered": status.delivered,
        "failed": status.failed,
        "dropped": status.dropped,
        "oldest": status.oldest,
        "lastDelivery": status.last_delivery,
        "lastError": status.last_error or None,
    }
