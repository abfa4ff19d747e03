"""First releases: where environments are new, what is live becomes the release of each, so that nothing changes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec.structs import replace

from sizewise.app.services import Services
from sizewise.auth.api_keys import SERVER_PRINCIPAL
from sizewise.errors import Conflict, SizewiseError, StorageError
from sizewise.principal import Principal
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.tables import LiveRelease
from sizewise.releases.folder_release import build_published_release
from sizewise.releases.manifest import Release
from sizewise.settings.environments import ANY, PUBLISHED, source_of
from sizewise.settings.load import Settings

log = logging.getLogger("sizewise.releases")

Project = tuple[str, str]
"""Tenant and project."""


def folder_owner(services: Services) -> Principal:
    """Whose project the flows and prompts of the folder are."""
    return services.api_keys.authenticator.authenticate(services.admin_token)


async def published_release(services: Services, settings: Settings, project: Project) -> Release:
    """What is published in a project. Raises BadRequest, ConfigError, StorageError, EncryptionKeyUnavailable."""
    versions, owner = services.flow_versions, folder_owner(services)

    def build() -> Release:
        flows = [
            (each.name, each.version, versions.read_source_blocking(*project, each.name, each.version).decode())
            for each in versions.list_published(*project)
        ]
        return build_published_release(settings, flows, has_folder=project == (owner.tenant, owner.project))

    return await versions.run_in_thread(build)


class FirstReleases:
    """For the folder's project, and each other one that has flows. One process of a server does it."""

    def __init__(self, services: Services, get_settings: Callable[[], Settings]) -> None:
        self._services = services
        self._get_settings = get_settings
        self.problems: dict[Project, str] = {}

    async def __call__(self, rows: dict[Place, LiveRelease]) -> bool:
        """Whether an environment got its first release. Raises StorageError."""
        settings, changed, owner = self._get_settings(), False, folder_owner(self._services)
        named = {(each.tenant, each.project) for each in self._services.flow_versions.list_published()}
        for project in sorted({(owner.tenant, owner.project), *named}):
            lacking = [
                name
                for name in settings.environments
                if source_of(settings.environments, name) != PUBLISHED and (*project, name) not in rows
            ]
            if lacking:
                changed = await self._put(settings, project, lacking, rows) or changed
        return changed

    async def _put(
        self, settings: Settings, project: Project, lacking: list[str], rows: dict[Place, LiveRelease]
    ) -> bool:
        actor = replace(SERVER_PRINCIPAL, tenant=project[0], project=project[1])
        try:
            release = await published_release(self._services, settings, project)
            await self._services.releases.save(actor, release)
        except StorageError:
            raise
        except SizewiseError as error:
            if self.problems.get(project) != error.message:
                log.warning("the project %s gets no first release, what is published answers: %s", *project[1:], error)
            self.problems[project] = error.message
            return False
        self.problems.pop(project, None)
        for name in lacking:
            source = source_of(settings.environments, name)
            known = rows.get((*project, source)) if source not in (ANY, PUBLISHED) else None
            hash = release.manifest.hash if known is None else known.release
            try:
                await self._services.environments.apply(
                    actor, (*project, name), None, hash, action="first", reason="what was live"
                )
            except Conflict:  # another server was first
                continue
            log.info("the release %s is the first one of %s in %s", hash[:12], project[1], name)
        return True
