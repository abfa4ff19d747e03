"""Authorization check: may this principal perform this action on this resource? Pure, denies by default."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.auth.permissions import ACTIONS
from sizewise.errors import Forbidden, PathNotFound
from sizewise.principal import Principal

OWN_RESOURCE_ACTIONS: Mapping[str, str] = {
    "manage_keys": "own_keys",
    "read_keys": "own_keys",
    "read_budgets": "read_budgets",
}
"""What does for a thing of one's own, in whatever project, in the place of an action."""


class Resource(Struct, frozen=True):
    """What something is done to. `project` empty: the organisation itself; `user_id` empty: nobody's own."""

    tenant: str
    project: str = ""
    user: str = ""
    name: str = ""  # how it is called when it is not found: kind and id


def is_allowed(principal: Principal, action: str, resource: Resource | None = None) -> bool:
    """Whether `principal` may. Without a thing: whether there is anything at all to which it may.

    What belongs to another organisation is never reached, nor, for a caller of one project, what belongs to another:
    that a thing there is one's own opens it by way of OWN alone.
    """
    if action not in ACTIONS:
        return False
    own = OWN_RESOURCE_ACTIONS.get(action) in principal.permissions
    if resource is None:
        return action in principal.permissions or own
    if resource.tenant != principal.tenant:
        return False
    return (action in principal.permissions and _reaches(principal, resource)) or (own and _owns(principal, resource))


def can_see(principal: Principal, resource: Resource) -> bool:
    """Whether `resource` exists as far as `principal` is concerned."""
    if resource.tenant != principal.tenant:
        return False
    return _reaches(principal, resource) or _owns(principal, resource)


def _reaches(principal: Principal, resource: Resource) -> bool:
    return principal.all_projects or resource.project == principal.project


def _owns(principal: Principal, resource: Resource) -> bool:
    return bool(principal.user_id) and resource.user == principal.user_id


def require_permission(principal: Principal, action: str, resource: Resource | None = None) -> None:
    """Raises PathNotFound for what the caller cannot even see, so that no id can be probed; Forbidden for the rest."""
    if is_allowed(principal, action, resource):
        return
    if resource is not None and resource.name and not can_see(principal, resource):
        kind, _, id = resource.name.partition(":")
        raise not_found(kind, id)
    raise Forbidden(
        f"{principal.key_id!r} lacks the right `{action}`",
        "use a key, or sign in as somebody, that has it for this",
    )


LIST_COMMANDS: Mapping[str, str] = {
    "key": "keys",
    "user": "users",
    "invitation": "users invitations",
    "budget": "budgets",
    "knowledge": "knowledge",
}


def not_found(kind: str, id: str) -> PathNotFound:
    """In the same words for what is not there and for what a caller cannot see."""
    hint = f"`sizewise {LIST_COMMANDS[kind]}` lists them" if kind in LIST_COMMANDS else ""
    return PathNotFound(f"there is no {kind} {id[:100]!r}", hint)
