"""Changes of what is live in an environment: checked, built in this process, and only then made."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.app.environments import Environments
from sizewise.app.first_releases import published_release
from sizewise.app.release_application import MissingRequirement, missing_requirements
from sizewise.app.services import Services
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, Conflict, did_you_mean
from sizewise.principal import Principal
from sizewise.releases.canary.canary_store import start_canary
from sizewise.releases.environments.environment_store import MAX_REASON_CHARS, Place
from sizewise.releases.environments.tables import LiveRelease
from sizewise.settings.canary import CanarySettings
from sizewise.settings.environments import ANY, PUBLISHED, source_of


def serving(app: Application) -> Environments[Application]:
    """Raises BadRequest."""
    if app.environments is None:
        raise BadRequest("there are no environments", "add a table [environments.NAME] to the settings")
    return app.environments


def place_of(app: Application, principal: Principal, environment: str) -> Place:
    """Raises BadRequest."""
    serving(app)
    known = app.settings.environments
    if environment not in known:
        hint = did_you_mean(environment, list(known)) or f"known: {', '.join(known)}"
        raise BadRequest(f"there is no environment {environment[:100]!r}", hint, param="environment")
    return principal.tenant, principal.project, environment


async def apply_release(
    app: Application,
    principal: Principal,
    environment: str,
    hash: str,
    *,
    action: str = "apply",
    reason: str = "",
    now: bool = False,
) -> LiveRelease:
    """`hash`: whole, or its first digits. Checks no approval. Begins a canary where the settings have steps of it,
    unless `now`; what is the canary already becomes live by the action `promote`.

    Raises BadRequest, PathNotFound, Conflict, ConfigError, StorageError, EncryptionKeyUnavailable; then nothing has
    changed.
    """
    place, services = place_of(app, principal, environment), app.resources.services
    before = await services.environments.find(place)
    stored = await services.releases.find(principal.tenant, principal.project, hash)
    if before is None or before.canary != stored.hash:
        await require_source(app, place, stored.hash)
    if (
        before is not None
        and stored.hash == (before.canary or before.release)
        and (before.canary is None or not (now or action == "promote"))
    ):
        return before
    built = await serving(app).application(principal.tenant, principal.project, stored.hash)
    missing = await missing_requirements(app, built, stored.manifest.requires, place[0], place[1])
    require_nothing_missing(environment, missing)
    canary = app.settings.environments[environment].canary
    if canary.steps and before is not None and not now and before.canary != stored.hash:
        moved = await _start_canary(services, principal, before, stored.hash, canary, reason)
    else:
        moved = await services.environments.apply(principal, place, before, stored.hash, action=action, reason=reason)
    await serving(app).refresh()
    return moved


async def _start_canary(
    services: Services, principal: Principal, before: LiveRelease, hash: str, settings: CanarySettings, reason: str
) -> LiveRelease:
    """Raises Conflict if the environment has moved since `before` was read."""
    tenant, project, environment = before.place
    event = audit_event(
        principal,
        tenant,
        "release.canary",
        f"environment:{project}/{environment}",
        {"release": before.release},
        {"release": before.release, "canary": hash, **({"reason": reason[:MAX_REASON_CHARS]} if reason else {})},
    )
    who = principal.user_id or principal.key_id
    started = await services.storage.writer.run_transaction(
        lambda c: start_canary(c, before, hash, settings, event, by=who, reason=reason[:MAX_REASON_CHARS])
    )
    moved = await services.environments.find(before.place)
    if not started or moved is None:
        raise Conflict(
            f"another change of {environment!r} came first, nothing was changed",
            f"look at it, and apply again: sizewise release status {environment}",
        )
    return moved


async def require_source(app: Application, place: Place, hash: str) -> None:
    """Raises BadRequest unless the environment may receive the release."""
    environment, source = place[2], source_of(app.settings.environments, place[2])
    if source == PUBLISHED:
        raise BadRequest(
            f"what is published is live in {environment!r}, so no release is applied there",
            f'apply it to another environment, or set from = "any" in [environments.{environment}]',
        )
    if source == ANY:
        return
    hint = f"apply it there first: sizewise release apply {hash[:12]} --to {source}"
    if source_of(app.settings.environments, source) == PUBLISHED:
        made = await published_release(app.resources.services, app.settings, place[:2])
        live, hint = made.manifest.hash, f"promote what is published: sizewise release promote {environment}"
    else:
        found = await app.resources.services.environments.find((*place[:2], source))
        live = "" if found is None else found.release
    if live != hash:
        raise BadRequest(f"{environment!r} receives only what is live in {source!r}, and {hash[:12]} is not", hint)


def require_nothing_missing(environment: str, missing: list[MissingRequirement]) -> None:
    """Raises BadRequest, which names all of it."""
    if missing:
        named = "; ".join(f"{each.kind}/{each.name}" for each in missing)
        raise BadRequest(f"{environment!r} lacks what the release needs: {named}", missing[0].hint)


async def promoted_hash(app: Application, principal: Principal, environment: str) -> str:
    """What is live where the environment receives from. Raises BadRequest, StorageError, EncryptionKeyUnavailable."""
    place_of(app, principal, environment)
    source = source_of(app.settings.environments, environment)
    if source in (ANY, PUBLISHED):
        raise BadRequest(
            f"{environment!r} receives from no other environment",
            f"apply a release: sizewise release apply HASH --to {environment}",
        )
    return await live_hash(app, principal, source)


async def live_hash(app: Application, principal: Principal, environment: str) -> str:
    """The release that is live; of an environment that follows what is published, it is saved. Raises BadRequest."""
    place, services = place_of(app, principal, environment), app.resources.services
    if source_of(app.settings.environments, environment) == PUBLISHED:
        made = await published_release(services, app.settings, place[:2])
        stored, _ = await services.releases.save(principal, made)
        return stored.hash
    live = await services.environments.find(place)
    if live is None:
        raise BadRequest(f"no release is live in {environment!r}", "apply one: sizewise release apply")
    return live.release


async def rollback_release(
    app: Application, principal: Principal, environment: str, to: str = "", reason: str = ""
) -> LiveRelease:
    """Raises BadRequest, PathNotFound, Conflict, StorageError."""
    place, services = place_of(app, principal, environment), app.resources.services
    before = await services.environments.find(place)
    if to:
        to = (await services.releases.find(principal.tenant, principal.project, to)).hash
    moved = await services.environments.rollback(principal, place, before, to=to, reason=reason)
    await serving(app).refresh()
    return moved
