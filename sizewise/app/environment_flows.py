"""Flows by environment: which version of each flow answers in each environment; reads manifests, and builds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from sizewise.app.application import Application
from sizewise.app.release_changes import place_of
from sizewise.principal import Principal


class EnvironmentFlows(Struct, frozen=True):
    """Versions by the name of the flow. `release`: empty: what is published answers. `canary`: empty: there is none.

    `share`: of new sessions that the canary answers, 0..1.
    """

    environment: str
    versions: Mapping[str, str]
    release: str = ""
    canary: str = ""
    share: float = 0.0
    canary_versions: Mapping[str, str] = {}


async def environment_flows(app: Application, principal: Principal, names: Iterable[str]) -> list[EnvironmentFlows]:
    """Of the environments `names`, as the caller's project has them. Raises BadRequest, StorageError."""
    return [await _flows_of(app, principal, name) for name in names]


async def _flows_of(app: Application, principal: Principal, name: str) -> EnvironmentFlows:
    services = app.resources.services
    live = await services.environments.find(place_of(app, principal, name))
    if live is None:
        published = services.flow_versions.list_published(principal.tenant, principal.project)
        return EnvironmentFlows(name, versions={each.name: each.version for each in published})
    return EnvironmentFlows(
        name,
        release=live.release,
        canary=live.canary or "",
        share=live.share,
        versions=await _versions(app, principal, live.release),
        canary_versions=await _versions(app, principal, live.canary) if live.canary else {},
    )


async def _versions(app: Application, principal: Principal, hash: str) -> Mapping[str, str]:
    stored = await app.resources.services.releases.find(principal.tenant, principal.project, hash)
    return stored.manifest.parts.get("flows", {})
