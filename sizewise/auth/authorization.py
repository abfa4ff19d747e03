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
"""Action -> permission that is enough for it on the principal's own resources, in any project."""


class Resource(Struct, frozen=True):
    """The object of an action. Empty `project`: the organization itself; empty `user`: not a personal resource."""

    tenant: str
    project: str = ""
    user: str = ""
    name: str = ""  # kind:id, for the error when it is not found


def is_allowed(principal: Principal, action: str, resource: Resource | None = None) -> bool:
    """Whether `principal` may do `action` to `resource`; without a resource, whether to any at all.

    Resources of another organization are out of reach. So are those of another project, unless the principal has access
    to all projects, or owns the resource and has the permission in OWN_RESOURCE_ACTIONS.
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
    """Whether `principal` may know that `resource` exists."""
    if resource.tenant != principal.tenant:
        return False
    return _reaches(principal, resource) or _owns(principal, resource)


def _reaches(principal: Principal, resource: Resource) -> bool:
    return principal.all_projects or resource.project == principal.project


def _owns(principal: Principal, resource: Resource) -> bool:
    return bool(principal.user_id) and resource.user == principal.user_id


def require_permission(principal: Principal, action: str, resource: Resource | None = None) -> None:
    """Raises PathNotFound if the principal cannot see the resource, so that ids cannot be probed; else Forbidden."""
    if is_allowed(principal, action, resource):
        return
    if resource is not None and resource.name and not can_see(principal, resource):
        kind, _, id = resource.name.partition(":")
        raise not_found(kind, id)
    raise Forbidden(
        f"{principal.key_id!r} lacks the permission `{action}` for this",
        "use a key, or sign in as a user, with that permission",
    )


LIST_COMMANDS: Mapping[str, str] = {
    "key": "keys",
    "user": "users",
    "invitation": "users invitations",
    "budget": "budgets",
}


def not_found(kind: str, id: str) -> PathNotFound:
    """The same error for a missing resource and for one that the caller cannot see."""
    hint = f"`sizewise {LIST_COMMANDS[kind]}` lists them" if kind in LIST_COMMANDS else ""
    return PathNotFound(f"there is no {kind} {id[:100]!r}", hint)
