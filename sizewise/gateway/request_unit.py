"""Request unit: what a request belongs to, session, end user, key or trace, for the split of a canary."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sizewise.principal import Principal
from sizewise.releases.canary.split import RequestUnit


class _BodyOptions(Struct):
    session: object = None
    end_user: object = None


class _BodyUnit(Struct):
    """The fields of a body that name its unit; of any type: the API's own check comes later."""

    sizewise: object = None
    safety_identifier: object = None
    user: object = None


def unit_of(options: Mapping[str, str], principal: Principal, trace: str, body: bytes) -> RequestUnit:
    """`options`: of the headers, which come before the body's."""
    session, end_user = options.get("session", ""), options.get("end-user", "")
    if not session or not end_user:
        seen = _body_unit(body)
        session, end_user = session or seen[0], end_user or seen[1]
    return RequestUnit(session, end_user, principal.key_id, trace)


def _body_unit(body: bytes) -> tuple[str, str]:
    """Session and end user; empty where the body names none, or is no JSON object."""
    try:
        seen = msgspec.json.decode(body, type=_BodyUnit)
        ours = msgspec.convert(seen.sizewise or {}, _BodyOptions)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""
    named = (ours.end_user, seen.safety_identifier, seen.user)
    return _text(ours.session), next((each for each in map(_text, named) if each), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
