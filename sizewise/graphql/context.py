"""The context of one GraphQL request: the application, the principal and its row limit; knows no field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, is_allowed, require_permission
from sizewise.auth.denied_audit import suppressed_event
from sizewise.errors import BadRequest, Forbidden
from sizewise.principal import Principal

T = TypeVar("T")
GetApplication = Callable[[], Application]
"""The house of the moment; a reload swaps it."""
Reload = Callable[[], Awaitable[object]]

MAX_ROWS = 2_000
"""Rows of the database that one request may bring out, however many fields ask for them."""
YIELD_EVERY = 20
"""Rows written between two turns of the event loop: about 3 ms, so that a long list delays nobody's tokens."""


@dataclass(slots=True)
class RequestContext:
    """Of one request; its fields may be answered side by side."""

    get_app: GetApplication
    reload: Reload
    app: Application
    principal: Principal
    trace: str = ""
    bypass_cache: bool = False  # nothing that a cache remembers
    rows_left: int = MAX_ROWS

    def require(self, *actions: str) -> None:
        """Raises Forbidden unless the caller may do one of `actions` to anything at all."""
        if actions and not any(is_allowed(self.principal, action) for action in actions):
            wanted = " or ".join(f"`{action}`" for action in actions)
            raise Forbidden(
                f"{self.principal.key_id!r} lacks the right {wanted}",
                "use a key, or sign in as somebody, that has it",
            )

    def require_all_projects(self, action: str) -> None:
        """Raises Forbidden where the caller sees one project alone: this is about all of them together."""
        require_permission(self.principal, action, Resource(self.principal.tenant))

    async def audit_refusal(self, field: str, id: str, code: str) -> None:
        """A line of the trail; of one user or key no more than ten a minute, so that nobody fills it, and then how many
        more there were. Raises StoreFailed.
        """
        services, principal = self.app.resources.services, self.principal
        who = principal.user_id or principal.key_id
        left = services.denied_requests.record(principal.tenant, who)
        if left is None:
            return
        if left:
            await services.audit_log.append(suppressed_event(principal.tenant, who, left))
        shown = id[:100] if id.isprintable() else ""
        await services.audit_log.append(replace(audit_event(principal, principal.tenant, field, shown), refused=code))

    def charge_rows(self, rows: int) -> None:
        """Raises BadRequest when all fields together ask for more than ROWS."""
        self.rows_left -= max(rows, 0)
        if self.rows_left < 0:
            raise BadRequest(f"one request returns at most {MAX_ROWS:,} records", "ask for fewer at once")


async def yielding_to_loop(items: Iterable[T]) -> AsyncIterator[T]:
    """The same items, giving way to others now and then."""
    for number, item in enumerate(items):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        yield item
