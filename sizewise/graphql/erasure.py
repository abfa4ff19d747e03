"""The field that erases the data of one person or key within the caller's organization and permissions."""

from __future__ import annotations

from contextlib import suppress

from msgspec.structs import replace

from sizewise.app.tuned_models import note_erased_examples
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.auth.users.tables import User
from sizewise.errors import BadRequest, ConfigError, Forbidden
from sizewise.graphql.context import RequestContext
from sizewise.graphql.keys import key_resource
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.users import reachable_user, require_rights_over
from sizewise.storage.erasure import DataSubject


async def erase_personal_data(
    context: RequestContext,
    user: str | None = None,
    key: str | None = None,
    session: str | None = None,
    end_user: str | None = None,
    dry_run: bool = True,
) -> FieldValues:
    """`user`: the id of a user; `key`: the id of a key or sign-in session, also of one that is gone; `session`,
    `end_user`: as clients name them. Writes to the audit log before it deletes anything, and after. Raises BadRequest,
    Forbidden, PathNotFound, Conflict for the last owner.
    """
    if sum(map(bool, (user, key, session, end_user))) != 1:
        hint = "use `user`, `key`, `session` or `endUser`"
        raise BadRequest("name one user, key, session or end user", hint, param="user")
    if key and "@" in key:  # it would stand in the audit log for ever, and nothing of the user would be erased
        raise BadRequest("an e-mail address is not the id of a key", "for a person, use `user`", param="key")
    principal, erasure = context.principal, context.services.erasure
    person = _erasable_user(context, user, dry_run) if user else None
    if person is not None:
        subject, thing = await erasure.subject_of_user(person), f"user:{person.id}"
    elif session or end_user:
        subject, thing = await _named_by_client(context, session or "", end_user or "")
    else:
        await _require_key(context, key or "")
        subject, thing = await erasure.subject_of_key(principal.tenant, key or ""), f"key:{(key or '')[:100]}"
    if dry_run:
        return _payload(await erasure.count(subject, person), dry_run)
    begun = audit_event(principal, principal.tenant, "erase_personal_data", thing)
    await context.services.audit_log.append(begun)
    gone = await erasure.erase(subject, person, principal)
    await context.services.audit_log.append(replace(begun, after={**gone}))
    await note_erased(context)
    return _payload(gone, dry_run)


async def note_erased(context: RequestContext) -> None:
    """Cards of models that learned from erased answers say so from here on."""
    if await note_erased_examples(context.app.settings.home, context.services.decisions):
        with suppress(ConfigError):  # the settings were broken before: the cards are read with the next reload
            await context.reload()


def _erasable_user(context: RequestContext, id: str, dry_run: bool) -> User:
    """Raises PathNotFound, or Forbidden for a user with more permissions than the caller."""
    user = reachable_user(context, id)
    require_permission(context.principal, "erase_records", Resource(user.tenant))
    require_rights_over(context, user)
    if user.id == context.principal.user_id and not dry_run:
        raise Forbidden("you cannot erase yourself", "ask another user with the permission `erase_records`")
    return user


async def _named_by_client(context: RequestContext, session: str, end_user: str) -> tuple[DataSubject, str]:
    """In all projects. The audit log gets a keyed hash of the name: it cannot be erased."""
    services, tenant = context.services, context.principal.tenant
    require_permission(context.principal, "erase_records", Resource(tenant))
    await services.end_users.load(tenant)
    hashed = services.end_users.hash(tenant, session or end_user)
    if session:
        return await services.erasure.subject_of_conversation(tenant, session), f"session:{hashed}"
    return services.erasure.subject_of_end_user(tenant, hashed), f"end_user:{hashed}"


async def _require_key(context: RequestContext, id: str) -> None:
    """A key with access to all projects, a session and an unknown key need access to all projects."""
    principal = context.principal
    found = next((each for each in await context.services.api_keys.list(principal.tenant) if each.id == id), None)
    everywhere = Resource(principal.tenant if principal.all_projects else "", name=f"key:{id}")
    confined = found is not None and not found.wide
    require_permission(principal, "erase_records", key_resource(found) if found and confined else everywhere)


def _payload(counts: object, dry_run: bool) -> FieldValues:
    assert isinstance(counts, dict)
    return {"dryRun": dry_run, "rows": [{"kind": kind, "count": count} for kind, count in counts.items()]}
