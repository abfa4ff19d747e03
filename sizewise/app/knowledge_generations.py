"""Retention of generations of knowledge bases: drops the indexes that neither settings nor a release can answer from.

Kept are the generation of the model that the settings name, the current one until that is whole, and those that a
release pins which is live, a canary or what a rollback goes to, in any environment of the project.
"""

from __future__ import annotations

from collections.abc import Callable

from sizewise.app.application import Application
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.releases.release_contents import embedding_models

INTERVAL_S = 60.0


class KnowledgeGenerations:
    def __init__(self, get_app: Callable[[], Application]) -> None:
        """`get_app`: the application of what is published."""
        self._get_app = get_app

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [
            PeriodicTask(
                "generations of knowledge bases", INTERVAL_S, self.drop_unneeded, at_once=True, leader_only=True
            )
        ]

    async def drop_unneeded(self) -> None:
        """Raises StorageError, EgressDenied, ConfigError, EncryptionKeyUnavailable."""
        for base in await self._get_app().resources.services.documents.bases_with_generations():
            await self._settle(base)

    async def _settle(self, base: KnowledgeBaseId) -> None:
        knowledge = self._get_app().knowledge_base
        store, wanted = knowledge.document_store, knowledge.wanted_model(base.name)
        needed = await self._pinned(base)
        async with knowledge.open_stores.write_lock(base):
            await store.make_current(base, wanted)
            found = await store.base(base)
            for each in found.generations if found is not None else ():
                if found is not None and each.model not in {found.model, wanted, *needed}:
                    await knowledge.open_stores.remove(found.collection_id(each))
                    await store.drop_generation(base, each.model)

    async def _pinned(self, base: KnowledgeBaseId) -> set[str]:
        """Embedding models of the base, by the releases that may answer."""
        services = self._get_app().resources.services
        live = [
            each for each in await services.environments.list_live() if each.place[:2] == (base.tenant, base.project)
        ]
        hashes = {hash for each in live for hash in (each.release, each.previous, each.canary) if hash}
        releases = [await services.releases.load(base.tenant, base.project, hash) for hash in hashes]
        return {models[base.name] for models in map(embedding_models, releases) if base.name in models}
