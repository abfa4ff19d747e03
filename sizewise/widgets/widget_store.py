"""Widget store: makes a widget with its key and daily budget, changes and finds it; serves no visitor."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Mapping

from msgspec.structs import replace

from sizewise.auth.api_keys import ApiKeys, audit_event
from sizewise.auth.key_scope import narrow_scope
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, Conflict, PathNotFound
from sizewise.limits.rate_limiter import Limiter
from sizewise.limits.rules import Limit, ScopedLimit
from sizewise.principal import KeyScope, Principal
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.widgets import tables
from sizewise.widgets.origins import parse_origins
from sizewise.widgets.tables import Widget, WidgetSettings

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
ID = re.compile(r"wd-[0-9a-z]{16}")
MAX_TEXT = 300
MAX_LIMITS: Mapping[str, int] = {
    "per_conversation": 1_000,
    "per_minute": 600,
    "per_hour": 10_000,
    "open_answers": 100,
    "characters": 100_000,
}


class WidgetStore:
    """One per server process. Raises StorageError."""

    def __init__(
        self, read: TransactionRunner, write: AsyncTransactionRunner, api_keys: ApiKeys, limiter: Limiter
    ) -> None:
        self._read = read
        self._write = write
        self._api_keys = api_keys
        self._limiter = limiter

    async def create(
        self,
        principal: Principal,
        name: str,
        target: str,
        settings: WidgetSettings,
        *,
        usd_per_day: int,
        data_class: DataClass = "public",
        expires: int | None = None,
    ) -> Widget:
        """`usd_per_day`: pico-dollars. `expires`: unix ms. Its key is for nothing that the caller's own is not for.

        Raises BadRequest, Forbidden, Conflict for a name that exists.
        """
        if NAME.fullmatch(name) is None:
            hint = "use up to 63 letters, digits, '.', '_' and '-'"
            raise BadRequest(f"{name[:100]!r} is not a valid widget name", hint, param="name")
        if any(each.name == name for each in await self.list(principal)):
            raise _name_taken(name)
        if usd_per_day <= 0:
            raise BadRequest("a widget needs a daily budget above 0", "such as 5.00", param="usdPerDay")
        checked = check_settings(settings)
        kind, _, goal = target.partition(":")
        wanted = KeyScope(endpoints=("chat",), **{"policies" if kind == "auto" else "flows": (goal,)}, anonymous=True)
        made = await self._api_keys.create(
            principal.project,
            f"widget {name}",
            ("ask",),
            tenant=principal.tenant,
            expires=expires,
            data_class=data_class,
            scope=narrow_scope(wanted, principal.scope),
            environment=principal.environment,
            actor=principal,
        )
        budget = ScopedLimit(principal.tenant, f"key:{made.key.id}", Limit(usd_day=usd_per_day))
        await self._limiter.set_limit(budget, principal)
        widget = Widget(
            id=f"wd-{''.join(secrets.choice('abcdefghijkmnpqrstuvwxyz23456789') for _ in range(16))}",
            tenant=principal.tenant,
            project=principal.project,
            name=name,
            key=made.key.id,
            target=target,
            settings=checked,
            created=time.time_ns() // 1_000_000,
            by=principal.user_id or principal.key_id,
        )
        shown: dict[str, object] = {"target": target, "origins": " ".join(checked.origins)}
        event = audit_event(principal, principal.tenant, "widget.create", f"widget:{widget.id}", None, shown)
        try:
            await self._write(lambda c: tables.insert_widget(c, widget, event))
        except Conflict as error:  # another request made one of this name meanwhile
            await self._api_keys.revoke(made.key.id, principal.tenant, principal)
            raise _name_taken(name) from error
        return await self.find(widget.id)

    async def set(self, principal: Principal, widget: Widget, settings: WidgetSettings) -> Widget:
        """Raises BadRequest."""
        checked = check_settings(settings)
        before: dict[str, object] = {"origins": " ".join(widget.settings.origins)}
        after: dict[str, object] = {"origins": " ".join(checked.origins)}
        event = audit_event(principal, principal.tenant, "widget.set", f"widget:{widget.id}", before, after)
        await self._write(lambda c: tables.set_settings(c, widget.id, checked, event))
        return await self.find(widget.id)

    async def list(self, principal: Principal) -> list[Widget]:
        return await asyncio.to_thread(
            self._read, lambda c: tables.list_widgets(c, principal.tenant, principal.project)
        )

    async def by_name(self, principal: Principal, name: str) -> Widget:
        """Raises PathNotFound."""
        found = next((each for each in await self.list(principal) if each.name == name), None)
        if found is None:
            raise PathNotFound(f"there is no widget {name[:100]!r}", "list them: sizewise widget list")
        return found

    async def find(self, id: str) -> Widget:
        """Raises PathNotFound."""
        known = ID.fullmatch(id) is not None
        found = await asyncio.to_thread(self._read, lambda c: tables.find_widget(c, id)) if known else None
        if found is None:
            raise PathNotFound("there is no such widget", "copy the tag of the page again")
        return found


def _name_taken(name: str) -> Conflict:
    return Conflict(f"there is a widget {name!r}, or there was one", "use another name")


def check_settings(settings: WidgetSettings) -> WidgetSettings:
    """Raises BadRequest."""
    for name in ("title", "greeting", "note"):
        text = getattr(settings, name).strip()
        if len(text) > MAX_TEXT or (not text and name != "greeting"):
            raise BadRequest(f"the {name} is empty or too long", f"use 1 to {MAX_TEXT} characters", param=name)
    for name, most in MAX_LIMITS.items():
        if not 1 <= getattr(settings, name) <= most:
            raise BadRequest(f"{getattr(settings, name)!r} is not a valid limit", f"use 1 to {most:,}", param=name)
    return replace(settings, origins=parse_origins(settings.origins))
