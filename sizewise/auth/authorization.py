"""The one permission question: may this caller do this to that thing? Fail-closed, pure, and asked at every door."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.auth.permissions import ACTIONS
from sizewise.errors import Forbidden, UnknownPath
from sizewise.principal import Caller

OWN: Mapping[str, str] = {"manage_keys": "own_keys", "read_keys": "own_keys", "read_budgets": "read_budgets"}
"""What does for a thing of one's own, in whatever project, in the place of an action."""


class Thing(Struct, frozen=True):
    """What something is done to. `project` empty: the organisation itself; `user` empty: nobody's own."""

    tenant: str
    project: str = ""
    user: str = ""
    name: str = ""  # how it is called when it is not found: kind and id


def may(caller: Caller, action: str, thing: Thing | None = None) -> bool:
    """Whether `caller` may. Without a thing: whether there is anything at all to which it may.

    What belongs to another organisation is never reached, nor, for a caller of one project, what belongs to another:
    that a thing there is one's own opens it by way of OWN alone.
    """
    if action not in ACTIONS:
        return False
    own = OWN.get(action) in caller.may
    if thing is None:
        return action in caller.may or own
    if thing.tenant != caller.tenant:
        return False
    return (action in caller.may and _reaches(caller, thing)) or (own and _owns(caller, thing))


def sees(caller: Caller, thing: Thing) -> bool:
    """Whether `thing` exists as far as `caller` is concerned."""
    if thing.tenant != caller.tenant:
        return False
    return _reaches(caller, thing) or _owns(caller, thing)


def _reaches(caller: Caller, thing: Thing) -> bool:
    return caller.wide or thing.project == caller.project


def _owns(caller: Caller, thing: Thing) -> bool:
    return bool(caller.user) and thing.user == caller.user


def demand(caller: Caller, action: str, thing: Thing | None = None) -> None:
    """Raises UnknownPath for what the caller cannot even see, so that no id can be probed; Forbidden for the rest."""
    if may(caller, action, thing):
        return
    if thing is not None and thing.name and not sees(caller, thing):
        kind, _, id = thing.name.partition(":")
        raise unknown(kind, id)
    raise Forbidden(
        f"{caller.key!r} lacks the right `{action}`", "use a key, or sign in as somebody, that has it for this"
    )


LISTED: Mapping[str, str] = {
    "key": "keys",
    "user": "users",
    "invitation": "users invitations",
    "budget": "budgets",
    "knowledge": "knowledge",
}


def unknown(kind: str, id: str) -> UnknownPath:
    """In the same words for what is not there and for what a caller cannot see."""
    hint = f"`sizewise {LISTED[kind]}` lists them" if kind in LISTED else ""
    return UnknownPath(f"there is no {kind} {id[:100]!r}", hint)
