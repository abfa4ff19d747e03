"""People listed, invited, given roles and disabled, each only within the caller's own organisation and rights."""

from __future__ import annotations

import math
from functools import partial

from sizewise.auth.authorization import Thing, demand, sees, unknown
from sizewise.auth.permissions import within
from sizewise.auth.user_accounts import OWNER
from sizewise.auth.users.effective_roles import Standing
from sizewise.auth.users.tables import User
from sizewise.errors import BadRequest, Conflict, Forbidden, UnknownPath, nearest
from sizewise.graphql.context import Context
from sizewise.graphql.keys import made_by, project_named, thing, told_key
from sizewise.graphql.model_type import Told
from sizewise.principal import Caller
from sizewise.settings.validators import NAME

MOST_DAYS = 90


async def users(context: Context) -> list[Told]:
    caller, standing = context.caller, _standing(context)
    found = context.house.means.keeper.users.all(caller.tenant)
    context.take(len(found))
    return [_user(each, context) for each in found if sees(caller, _thing(each, caller, standing))]


async def invitations(context: Context) -> list[Told]:
    caller = context.caller
    found = await context.house.means.keeper.users.invitations(caller.tenant)
    context.take(len(found))
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
        if caller.wide or (each.project == caller.project and each.project)
    ]


async def sign_in_sessions(context: Context) -> list[Told]:
    """One's own; with read_users those of all whom one sees."""
    caller, standing = context.caller, _standing(context)
    found = [(each, standing.users[each.user]) for each in context.house.means.keeper.sessions.live(caller.tenant)]
    return [
        {
            "id": each.id,
            "user": user.id,
            "email": user.email,
            "project": each.project,
            "created": each.created,
            "lastSeen": each.seen,
            "expires": each.expires,
        }
        for each, user in found
        if user.id == caller.user or ("read_users" in caller.may and sees(caller, _thing(user, caller, standing)))
    ]


async def organizations(context: Context) -> list[Told]:
    found = await context.house.means.keeper.users.organisations()
    return [{"id": each.tenant, "name": each.name, "created": each.created} for each in found]


async def roles(context: Context) -> list[Told]:
    """Every role that can be given, and what it allows."""
    return [{"name": name, "permissions": sorted(may)} for name, may in _standing(context).roles.items()]


async def invite_user(
    context: Context, email: str, role: str | None = None, project: str | None = None, days: float = 7
) -> Told:
    """For somebody new with a role; without one, for a new password of somebody who is here."""
    caller, standing = context.caller, _standing(context)
    there = context.house.means.keeper.users.by_email(email, caller.tenant)
    if there is not None and sees(caller, _thing(there, caller, standing)):
        if role is not None:
            raise Conflict(f"{email[:254]!r} is here already", "give a role: sizewise users role")
        _demand_above(context, there)
        role, project = "", ""
    elif role is None:
        raise UnknownPath(
            f"there is no user {email[:254]!r}",
            f"to invite somebody new, name a role: sizewise users invite {email[:254]} --role developer",
        )
    else:
        _demand_may_give(context, role, _named(project))
    return await _invited(context, caller.tenant, email, role, _named(project), days)


async def withdraw_invitation(context: Context, id: str) -> Told:
    caller, users = context.caller, context.house.means.keeper.users
    found = next((each for each in await users.invitations(caller.tenant) if each.id == id), None)
    thing = Thing(caller.tenant if found else "", found.project if found else "", name=f"invitation:{id}")
    demand(caller, "manage_users", thing)
    await users.withdraw(id, caller.tenant, caller)
    return {"id": id}


async def set_role(context: Context, id: str, role: str, project: str | None = None) -> Told:
    """In the organisation, or with `project` in that one; "" takes it away."""
    caller, standing = context.caller, _standing(context)
    user, where = _one(context, id), _named(project)
    before = standing.projects(user.id).get(where, "") if where else user.role
    if user.id == caller.user:
        raise Forbidden("you cannot change your own role", "ask another who manages users")
    _demand_may_give(context, role, where)
    _demand_covers(caller, standing.roles.get(before, frozenset()), f"a {before}", where)
    await context.house.means.keeper.users.give(user.id, user.tenant, role, where, caller)
    return _user(_one(context, id), context)


async def disable_user(context: Context, id: str, revoke_keys: bool = False) -> Told:
    """`revoke_keys`: the service keys that this user made are revoked too."""
    user, accounts = _one(context, id), context.house.means.keeper.accounts
    if user.id == context.caller.user:
        raise Forbidden("you cannot disable yourself", "ask another who manages users")
    _demand_above(context, user)
    made = await made_by(context, user.id) if revoke_keys else []
    for key in made:
        demand(context.caller, "manage_keys", thing(key))
    await context.house.means.keeper.users.disable(user.id, user.tenant, context.caller)
    for key in made:
        await accounts.revoke(key.id, key.tenant, context.caller)
    return _user(_one(context, id), context)


async def enable_user(context: Context, id: str) -> Told:
    user = _one(context, id)
    _demand_above(context, user)
    await context.house.means.keeper.users.enable(user.id, user.tenant, context.caller)
    return _user(_one(context, id), context)


async def sign_out(context: Context, user: str | None = None) -> Told:
    """Ends all sessions of a user; without `user`, all of one's own."""
    caller = context.caller
    if user is None and not caller.user:
        raise BadRequest("a service key has no sessions", "name a user", param="user")
    whose = _one(context, user if user is not None else caller.user)
    if whose.id != caller.user:
        _demand_above(context, whose)
    await context.house.means.keeper.sessions.end_all(whose, caller)
    return {"id": whose.id}


async def create_organization(context: Context, id: str, email: str, name: str = "", days: float = 7) -> Told:
    """A new organisation, and the invitation of its first owner."""
    if not NAME.match(id) or len(id) > 64:
        raise BadRequest(f"{id[:100]!r} is no id of an organisation", "letters, digits, '.', '_', '-'", param="id")
    if len(name) > 100 or not name.isprintable():
        raise BadRequest(f"{name[:100]!r} is no name", "give up to 100 printable characters", param="name")
    await context.house.means.keeper.users.found(id, name.strip() or id, context.caller)
    return await _invited(context, id, email, OWNER, "", days)


async def invite_owner(context: Context, organization: str, email: str, days: float = 7) -> Told:
    """Where an organisation has lost its own: whoever founds them may invite another."""
    return await _invited(context, organization, email, OWNER, "", days)


async def release_email(context: Context, email: str) -> Told:
    """In whatever organisation: who took an address that is not theirs keeps nobody out by it."""
    freed = await context.house.means.keeper.users.free(email, context.caller)
    return {"id": freed.id}


async def _invited(context: Context, tenant: str, email: str, role: str, project: str, days: float) -> Told:
    if not math.isfinite(days) or not 0 < days <= MOST_DAYS:
        raise BadRequest(f"an invitation cannot be good for {days!r} days", f"give up to {MOST_DAYS}", param="days")
    made = await context.house.means.keeper.users.invite(tenant, email, role, project, days, context.caller)
    its = made.invitation
    shown = {"id": its.id, "email": its.email, "role": role, "project": project, "expires": its.expires}
    return {"invitation": {**shown, "invitedBy": its.by, "created": its.created, "used": None}, "token": made.token}


def _one(context: Context, id: str) -> User:
    """Raises UnknownPath for a user who is not there as far as the caller is concerned."""
    caller, standing = context.caller, _standing(context)
    found = standing.users.get(id)
    if found is None or not sees(caller, _thing(found, caller, standing)):
        raise unknown("user", id)
    return found


def _thing(user: User, caller: Caller, standing: Standing) -> Thing:
    """A user is in the organisation, and in each project where it has a role."""
    inside = caller.project if caller.project in standing.projects(user.id) else ""
    return Thing(user.tenant, inside, user.id, f"user:{user.id}")


def _demand_may_give(context: Context, role: str, project: str) -> None:
    """Raises BadRequest for what is no role, Forbidden for one beyond the caller's own, or elsewhere."""
    caller, roles = context.caller, _standing(context).roles
    if role and role not in roles:
        hint = nearest(role, list(roles)) or f"known: {', '.join(roles)}"
        raise BadRequest(f"there is no role {role[:100]!r}", hint, param="role")
    demand(caller, "manage_users", Thing(caller.tenant, project))
    if role:
        _demand_covers(caller, roles[role], f"a {role}", project)


def _demand_above(context: Context, user: User) -> None:
    """Raises Forbidden where `user` may something anywhere that the caller may not."""
    caller = context.caller
    demand(caller, "manage_users", Thing(user.tenant))
    _demand_covers(caller, _standing(context).most(user), "this user")


def _demand_covers(caller: Caller, may: frozenset[str], whom: str, project: str = "") -> None:
    """Raises Forbidden where `may` is more, as far as it holds in the caller's organisation or one project."""
    if beyond := sorted(within(may, caller.tenant, not project) - caller.may):
        raise Forbidden(
            f"{whom} may {' and '.join(beyond[:3])}, and {caller.key!r} may not", "ask somebody who may as much"
        )


def _standing(context: Context) -> Standing:
    return context.house.means.keeper.accounts.keys.standing


def _named(project: str | None) -> str:
    return project_named(project) if project else ""


def _user(user: User, context: Context) -> Told:
    """Of the projects and keys only those that the caller sees."""
    caller, standing = context.caller, _standing(context)
    inside = standing.projects(user.id).items()
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "projects": [
            {"project": each, "role": role} for each, role in sorted(inside) if caller.wide or each == caller.project
        ],
        "password": bool(user.password),
        "issuer": user.issuer or "",
        "created": user.created,
        "disabled": user.disabled,
        "state": "valid" if user.disabled is None else "disabled",
        "serviceKeys": partial(_made, context, user),
    }


async def _made(context: Context, user: User, info: object) -> list[Told]:
    context.take(20)  # each is a look through all keys
    return [told_key(key) for key in await made_by(context, user.id)]
