"""The context of one GraphQL request: the application, the principal and its row limit; knows no field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.app.services import Services
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, is_allowed, require_permission
from sizewise.auth.denied_audit import suppressed_event
from sizewise.errors import BadRequest, Forbidden
from sizewise.principal import Principal

T = TypeVar("T")
GetApplication = Callable[[], Application]
"""Returns the current application; a reload replaces it."""
Reload = Callable[[], Awaitable[object]]

MAX_ROWS = 2_000
"""Maximum database rows of one request, over all its fields."""
YIELD_EVERY = 20
"""Rows written before yielding to the event loop, about 3 ms: a long list must not delay other clients' tokens."""


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """Belongs to one request, whose fields may be resolved concurrently."""

    get_app: GetApplication
    reload: Reload
    app: Application
    services: Services
    principal: Principal
    trace: str = ""
    bypass_cache: bool = False  # by the header x-bypass-cache
    rows_left: int = MAX_ROWS

    def require(self, *actions: str) -> None:
        """Raises Forbidden unless the caller has one of `actions` on any resource."""
        if actions and not any(is_allowed(self.principal, action) for action in actions):
            wanted = " or ".join(f"`{action}`" for action in actions)
            raise Forbidden(
                f"{self.principal.key_id!r} lacks the permission {wanted}",
                "use a key, or sign in as a user, with that permission",
            )

    def require_all_projects(self, action: str) -> None:
        """Raises Forbidden unless the caller has `action` on all projects."""
        require_permission(self.principal, action, Resource(self.principal.tenant))

    async def audit_refusal(self, field: str, id: str, code: str) -> None:
        """Writes a denied change to the audit log: at most ten a minute per user or key, then the number suppressed.
        Raises StorageError.
        """
        services, principal = self.services, self.principal
        who = principal.user_id or principal.key_id
        left = services.denied_requests.record(principal.tenant, who)
        if left is None:
            return
        if left:
            await services.audit_log.append(suppressed_event(principal.tenant, who, left))
        shown = id[:100] if id.isprintable() and "@" not in id else ""
        await services.audit_log.append(replace(audit_event(principal, principal.tenant, field, shown), refused=code))

    def charge_rows(self, rows: int) -> None:
        """Raises BadRequest if all fields together ask for more than MAX_ROWS."""
        self.rows_left -= max(rows, 0)
        if self.rows_left < 0:
            raise BadRequest(f"one request returns at most {MAX_ROWS:,} records", "request fewer")


def only_project(context: RequestContext) -> str:
    """The only project whose records the caller may see; empty: all."""
    return "" if context.principal.all_projects else context.principal.project


async def yielding_to_loop(items: Iterable[T]) -> AsyncIterator[T]:
    """The same items, yielding to the event loop every YIELD_EVERY items."""
    for number, item in enumerate(items):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        yield item
