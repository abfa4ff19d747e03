"""Request unit: what a request belongs to, session, end user, key or trace, for the split of a canary."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.principal import Principal
from sizewise.releases.canary.split import RequestUnit


async def unit_of(options: Mapping[str, str], principal: Principal, trace: str, body: bytes) -> RequestUnit:
    """`options`: of the headers."""
    return RequestUnit(options.get("session", ""), options.get("end-user", ""), principal.key_id, trace)
