"""Groups of edges that follow an environment: a group is an environment, which is promoted after the one it follows."""

from __future__ import annotations

from collections.abc import Sequence

from sizewise.app import release_changes, release_plan
from sizewise.app.application import Application
from sizewise.errors import BadRequest, Conflict, SizewiseError
from sizewise.principal import Principal
from sizewise.settings.environments import source_of


async def require_edge_groups(
    app: Application, principal: Principal, environment: str, groups: Sequence[str], *, now: bool = False
) -> None:
    """Raises BadRequest unless all of them can follow at once. `now`: the environment begins no canary."""
    place, known = release_changes.place_of(app, principal, environment), app.settings.environments
    if not groups:
        return
    live = await app.resources.services.environments.find(place)
    if known[environment].canary.steps and not now and (live is None or live.canary is None):
        raise BadRequest(
            f"{environment!r} begins with a canary, so no edges can follow yet",
            f"once it is live: sizewise release promote {groups[0][:100]}",
            param="edges",
        )
    for group in groups:
        release_changes.place_of(app, principal, group)
        if (source := source_of(known, group)) != environment:
            raise BadRequest(
                f"the edges of {group!r} cannot follow {environment!r}",
                f"it has from = {source!r}; set from = {environment!r} in [environments.{group}]",
                param="edges",
            )
        if known[group].canary.steps:
            raise BadRequest(
                f"{group!r} has steps of a canary, which edges would wait for",
                f"leave out [environments.{group}.canary]; a machine can have a canary of its own",
                param="edges",
            )
        if known[group].approve:
            raise BadRequest(
                f"{group!r} needs approvals, so its release is planned first",
                f"once {environment} is live: sizewise release plan {environment} {group}",
                param="edges",
            )


async def promote_edge_groups(
    app: Application, principal: Principal, environment: str, groups: Sequence[str], *, breaking: bool, reason: str
) -> None:
    """Brings each group to what is live in the environment. Raises Conflict, which says what has changed before."""
    for group in groups:
        try:
            await release_plan.promote(app, principal, group, breaking=breaking, reason=reason)
        except SizewiseError as error:
            raise Conflict(
                f"{environment!r} has changed, and the edges of {group!r} do not follow: {error.message}",
                error.hint or f"try again: sizewise release promote {group}",
            ) from error
