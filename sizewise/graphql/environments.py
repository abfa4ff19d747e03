"""Fields of environments: what is live in each, and changing it."""

from __future__ import annotations

from sizewise.app import release_changes
from sizewise.app.application import Application
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.releases.environments.tables import LiveRelease, ReleaseMove
from sizewise.settings.environments import default_environment, source_of

MOVES = 20
"""Changes that an environment lists."""


async def environments(context: RequestContext) -> list[FieldValues]:
    app = context.get_app()
    return [await _environment(context, app, name) for name in app.settings.environments]


async def apply_release(context: RequestContext, environment: str, release: str, reason: str = "") -> FieldValues:
    app = context.get_app()
    await release_changes.apply_release(app, context.principal, environment, release, reason=reason)
    return await _environment(context, app, environment)


async def promote_release(context: RequestContext, environment: str, reason: str = "") -> FieldValues:
    app = context.get_app()
    await release_changes.promote_release(app, context.principal, environment, reason)
    return await _environment(context, app, environment)


async def rollback_release(context: RequestContext, environment: str, to: str = "", reason: str = "") -> FieldValues:
    app = context.get_app()
    await release_changes.rollback_release(app, context.principal, environment, to, reason)
    return await _environment(context, app, environment)


async def _environment(context: RequestContext, app: Application, name: str) -> FieldValues:
    place, store = release_changes.place_of(app, context.principal, name), context.services.environments
    live, moves, known = await store.find(place), await store.history(place, MOVES), app.settings.environments
    return {
        "name": name,
        "isDefault": name == default_environment(known),
        "source": source_of(known, name),
        "approve": known[name].approve,
        "live": None if live is None else _live(live),
        "problem": release_changes.serving(app).state(place).problem,
        "moves": [_move(each) for each in moves],
    }


def _live(live: LiveRelease) -> FieldValues:
    return {
        "release": live.release,
        "previous": live.previous,
        "canary": live.canary,
        "share": live.share,
        "changed": live.changed,
        "changedBy": live.by,
    }


def _move(move: ReleaseMove) -> FieldValues:
    return {
        "release": move.release,
        "before": move.before,
        "at": move.at,
        "by": move.by,
        "action": move.action,
        "reason": move.reason,
    }
