"""Fields that list, invite, grant roles to and disable users within the caller's organization and permissions."""

from __future__ import annotations

import math
from functools import partial

from sizewise.auth.authorization import Resource, can_see, not_found, require_permission
from sizewise.auth.permissions import restrict_actions
from sizewise.auth.user_accounts import OWNER_ROLE
from sizewise.auth.users.effective_roles import EffectiveRoles
from sizewise.auth.users.tables import User
from sizewise.errors import BadRequest, Conflict, Forbidden, PathNotFound, did_you_mean
from sizewise.graphql.context import RequestContext
from sizewise.graphql.keys import key_resource, key_values, keys_created_by, validate_project_name
from sizewise.graphql.model_type import FieldValues
from sizewise.principal import Principal
from sizewise.settings.validators import NAME

MAX_DAYS = 90


async def users(context: RequestContext) -> list[FieldValues]:
    principal, standing = context.principal, _standing(context)
    found = context.services.users.list_users(principal.tenant)
    context.charge_rows(len(found))
    return [_user(each, context) for each in found if can_see(principal, _user_resource(each, principal, standing))]


async def invitations(context: RequestContext) -> list[FieldValues]:
    principal = context.principal
    found = await context.services.users.list_invitations(principal.tenant)
    context.charge_rows(len(found))
    return [
        {
            "id": each.id,
            "email": each.email,
            "role": each.role,
            "project": each.project,
            "invitedBy": each.by,
            "created": each.created,
            "expires": each.expires,
            "used": each.used,
        }
        for each in found
        if principal.all_projects or (each.project == principal.project and each.project)
    ]


async def sign_in_sessions(context: RequestContext) -> list[FieldValues]:
    """The caller's own sessions; with read_users, those of all users that the caller can see."""
    principal, standing = context.principal, _standing(context)
    found = [(each, standing.users[each.user]) for each in context.services.sessions.list_active(principal.tenant)]
    return [
        {
            "id": each.id,
            "user": user.id,
            "email": user.email,
            "project": each.project,
            "created": each.created,
            "lastSeen": each.seen,
            "expires": each.expires,
            "method": each.method,
            "secondFactor": each.factor,
            "device": each.device,
            "network": each.network,
            "current": each.id == principal.key_id,
        }
        for each, user in found
        if user.id == principal.user_id
        or ("read_users" in principal.permissions and can_see(principal, _user_resource(user, principal, standing)))
    ]


async def organizations(context: RequestContext) -> list[FieldValues]:
    found = await context.services.users.list_organizations()
    return [{"id": each.tenant, "name": each.name, "created": each.created} for each in found]


async def roles(context: RequestContext) -> list[FieldValues]:
    """Every role that can be granted, and its permissions."""
    return [{"name": name, "permissions": sorted(may)} for name, may in _standing(context).roles.items()]


async def invite_user(
    context: RequestContext,
    email: str,
    role: str | None = None,
    project: str | None = None,
    days: float = 7,
) -> FieldValues:
    """Invites a new user with a role; without one, invites an existing user to set a new password."""
    principal, standing = context.principal, _standing(context)
    there = context.services.users.find_by_email(email, principal.tenant)
    if there is not None and can_see(principal, _user_resource(there, principal, standing)):
        if role is not None:
            raise Conflict(f"{email[:254]!r} is a user already", "change the role: sizewise users role")
        require_rights_over(context, there)
        role, project = "", ""
    elif role is None:
        raise PathNotFound(
            f"there is no user {email[:254]!r}",
            f"to invite a new user, set a role: sizewise users invite {email[:254]} --role developer",
        )
    else:
        _require_may_grant(context, role, _named(project))
    return await _invited(context, principal.tenant, email, role, _named(project), days)


async def withdraw_invitation(context: RequestContext, id: str) -> FieldValues:
    principal, users = context.principal, context.services.users
    found = next((each for each in await users.list_invitations(principal.tenant) if each.id == id), None)
    thing = Resource(principal.tenant if found else "", found.project if found else "", name=f"invitation:{id}")
    require_permission(principal, "manage_users", thing)
    await users.withdraw_invitation(id, principal.tenant, principal)
    return {"id": id}


async def set_role(context: RequestContext, id: str, role: str, project: str | None = None) -> FieldValues:
    """Sets the role in the organization, or in `project`; "" removes it."""
    principal, standing = context.principal, _standing(context)
    user, where = reachable_user(context, id), _named(project)
    before = standing.project_roles(user.id).get(where, "") if where else user.role
    if user.id == principal.user_id:
        raise Forbidden("you cannot change your own role", "ask another user with the permission `manage_users`")
    _require_may_grant(context, role, where)
    _require_covers(principal, standing.roles.get(before, frozenset()), f"a {before}", where)
    await context.services.users.set_role(user.id, user.tenant, role, where, principal)
    return _user(reachable_user(context, id), context)


async def disable_user(context: RequestContext, id: str, revoke_keys: bool = False) -> FieldValues:
    """`revoke_keys`: also revokes the service keys that this user created."""
    user, accounts = reachable_user(context, id), context.services.api_keys
    if user.id == context.principal.user_id:
        raise Forbidden("you cannot disable yourself", "ask another user with the permission `manage_users`")
    require_rights_over(context, user)
    made = await keys_created_by(context, user.id) if revoke_keys else []
    for key in made:
        require_permission(context.principal, "manage_keys", key_resource(key))
    await context.services.users.disable(user.id, user.tenant, context.principal)
    for key in made:
        await accounts.revoke(key.id, key.tenant, context.principal)
    return _user(reachable_user(context, id), context)


async def enable_user(context: RequestContext, id: str) -> FieldValues:
    user = reachable_user(context, id)
    require_rights_over(context, user)
    await context.services.users.enable(user.id, user.tenant, context.principal)
    return _user(reachable_user(context, id), context)


async def reset_second_factor(context: RequestContext, user: str) -> FieldValues:
    """For a user who has lost it. Nobody resets their own: that takes a code."""
    whose, principal = reachable_user(context, user), context.principal
    if whose.id == principal.user_id:
        raise Forbidden("you cannot reset your own second factor", "remove it with a code, or a recovery code")
    require_rights_over(context, whose)
    await context.services.second_factors.reset(whose, principal)
    return {"id": whose.id}


async def sign_out(context: RequestContext, user: str | None = None, session: str | None = None) -> FieldValues:
    """Ends one session, or all of `user`; without either, all of the caller's own."""
    principal = context.principal
    if session is not None:
        return await _end_session(context, session)
    if user is None and not principal.user_id:
        raise BadRequest("a service key has no sessions", "pass the id of a user", param="user")
    whose = reachable_user(context, user if user is not None else principal.user_id)
    if whose.id != principal.user_id:
        require_rights_over(context, whose)
    await context.services.sessions.end_all(whose, principal)
    return {"id": whose.id}


async def _end_session(context: RequestContext, id: str) -> FieldValues:
    principal, standing = context.principal, _standing(context)
    found = context.services.sessions.get_active(principal.tenant, id)
    user = standing.users[found.user] if found is not None else None
    if found is None or user is None or not can_see(principal, _user_resource(user, principal, standing)):
        raise not_found("session", id)
    if user.id != principal.user_id:
        require_rights_over(context, user)
    await context.services.sessions.end(found, principal)
    return {"id": found.id}


async def create_organization(
    context: RequestContext,
    id: str,
    email: str,
    name: str = "",
    days: float = 7,
) -> FieldValues:
    """Creates an organization and invites its first owner."""
    if not NAME.match(id) or len(id) > 64:
        raise BadRequest(
            f"{id[:100]!r} is not a valid organization id", "use letters, digits, '.', '_' and '-'", param="id"
        )
    if len(name) > 100 or not name.isprintable():
        raise BadRequest(f"{name[:100]!r} is not a valid name", "use up to 100 printable characters", param="name")
    await context.services.users.create_organization(id, name.strip() or id, context.principal)
    return await _invited(context, id, email, OWNER_ROLE, "", days)


async def invite_owner(context: RequestContext, organization: str, email: str, days: float = 7) -> FieldValues:
    """Invites an owner to any organization, for one that has lost its owner."""
    return await _invited(context, organization, email, OWNER_ROLE, "", days)


async def release_email(context: RequestContext, email: str) -> FieldValues:
    """Releases an address in any organization, so that registering another person's address does not lock them out."""
    freed = await context.services.users.release_email(email, context.principal)
    return {"id": freed.id}


async def _invited(
    context: RequestContext,
    tenant: str,
    email: str,
    role: str,
    project: str,
    days: float,
) -> FieldValues:
    if not math.isfinite(days) or not 0 < days <= MAX_DAYS:
        hint = f"use more than 0, at most {MAX_DAYS}"
        raise BadRequest(f"{days!r} is not a valid number of days", hint, param="days")
    made = await context.services.users.invite(tenant, email, role, project, days, context.principal)
    its = made.invitation
    shown = {"id": its.id, "email": its.email, "role": role, "project": project, "expires": its.expires}
    return {"invitation": {**shown, "invitedBy": its.by, "created": its.created, "used": None}, "token": made.token}


def reachable_user(context: RequestContext, id: str) -> User:
    """Raises PathNotFound for a user that the caller cannot see."""
    principal, standing = context.principal, _standing(context)
    found = standing.users.get(id)
    if found is None or not can_see(principal, _user_resource(found, principal, standing)):
        raise not_found("user", id)
    return found


def _user_resource(user: User, principal: Principal, standing: EffectiveRoles) -> Resource:
    """A user belongs to the organization, and to each project in which it has a role."""
    inside = principal.project if principal.project in standing.project_roles(user.id) else ""
    return Resource(user.tenant, inside, user.id, f"user:{user.id}")


def _require_may_grant(context: RequestContext, role: str, project: str) -> None:
    """Raises BadRequest for an unknown role, Forbidden for one that exceeds the caller's, or outside its projects."""
    principal, roles = context.principal, _standing(context).roles
    if role and role not in roles:
        hint = did_you_mean(role, list(roles)) or f"known: {', '.join(roles)}"
        raise BadRequest(f"there is no role {role[:100]!r}", hint, param="role")
    require_permission(principal, "manage_users", Resource(principal.tenant, project))
    if role:
        _require_covers(principal, roles[role], f"a {role}", project)


def require_rights_over(context: RequestContext, user: User) -> None:
    """Raises Forbidden if the user has a permission anywhere that the caller lacks."""
    principal = context.principal
    require_permission(principal, "manage_users", Resource(user.tenant))
    _require_covers(principal, _standing(context).all_actions(user), "this user")


def _require_covers(principal: Principal, may: frozenset[str], whom: str, project: str = "") -> None:
    """Raises Forbidden if `may` exceeds the caller's permissions in its organization or in `project`."""
    if beyond := sorted(restrict_actions(may, principal.tenant, not project) - principal.permissions):
        raise Forbidden(
            f"{whom} has permissions that {principal.key_id!r} lacks: {', '.join(beyond[:3])}",
            "ask a user who has these permissions",
        )


def _standing(context: RequestContext) -> EffectiveRoles:
    return context.services.api_keys.authenticator.effective_roles


def _named(project: str | None) -> str:
    return validate_project_name(project) if project else ""


def _user(user: User, context: RequestContext) -> FieldValues:
    """Lists only projects and keys that the caller can see."""
    principal, standing = context.principal, _standing(context)
    inside = standing.project_roles(user.id).items()
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "projects": [
            {"project": each, "role": role}
            for each, role in sorted(inside)
            if principal.all_projects or each == principal.project
        ],
        "password": bool(user.password),
        "issuer": user.issuer or "",
        "roleFrom": _role_from(context, user),
        "created": user.created,
        "disabled": user.disabled,
        "state": "valid" if user.disabled is None else "disabled",
        "serviceKeys": partial(_created_keys, context, user),
        "secondFactor": partial(_second_factor, context, user),
    }


def _role_from(context: RequestContext, user: User) -> str:
    """The provider whose groups give the role; empty: it is given here."""
    known = context.app.settings.oidc.items()
    return next((name for name, its in known if user.issuer and its.issuer == user.issuer and its.roles), "")


async def _second_factor(context: RequestContext, user: User, info: object) -> FieldValues | None:
    since = context.services.second_factors.enrolled_since(user)
    if since is None:
        return None
    left = await context.services.second_factors.recovery_codes_left([user.id])
    return {"since": since, "recoveryLeft": left.get(user.id, 0)}


async def _created_keys(context: RequestContext, user: User, info: object) -> list[FieldValues]:
    context.charge_rows(20)  # it scans all keys
    return [key_values(key) for key in await keys_created_by(context, user.id)]
