"""Retries of embedding after a failure, with exponential backoff, until no document waits; decides no access.

A retry acts as the caller whose request failed, or as those who added the waiting documents, with the permissions that
they have at that moment. So budgets, data classes and records apply as if they had called again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from random import uniform

from msgspec.structs import replace

from sizewise.auth.authorization import Resource, is_allowed
from sizewise.errors import (
    BudgetExceeded,
    Busy,
    EncryptionKeyUnavailable,
    ExternalFailure,
    Forbidden,
    ModelUnavailable,
    SizewiseError,
    StorageError,
    UpstreamError,
)
from sizewise.handler import Request
from sizewise.knowledge.document_store import DocumentRecord
from sizewise.knowledge.ingestion import MANAGE_ACTION, Ingestion, OnRefused, keep_waiting
from sizewise.knowledge.open_stores import settings_of_base
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.messages import EmbeddingRequest
from sizewise.principal import Principal
from sizewise.settings.knowledge import KnowledgeSettings

log = logging.getLogger("sizewise.knowledge")

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
"""Pauses double from the first to the longest."""
STEP_S = 5.0
QUIET_S = 5.0
"""Without progress for this long, up to twice as long, no other server is embedding a base."""
RETRIED = (
    *(StorageError, UpstreamError, ModelUnavailable, Busy),
    *(BudgetExceeded, EncryptionKeyUnavailable, ExternalFailure),
)
"""Errors that pass without a change by a person."""
Reauthenticate = Callable[[str, str, str, str], Principal | None]
"""Key id, user id, tenant and project -> the principal with its current permissions; None if it lost access."""


class EmbeddingRetries:
    """One per process, for its event loop; outlives settings reloads."""

    def __init__(self) -> None:
        self._ingestion: Ingestion | None = None
        self._settings: Mapping[str, KnowledgeSettings] = {}
        self._reauthenticate: Reauthenticate = lambda key, user, tenant, project: None
        self._tasks: dict[KnowledgeBaseId, asyncio.Task[None]] = {}
        self._again: dict[KnowledgeBaseId, Principal | None] = {}
        self._is_closing = False
        self.on_refused: OnRefused = keep_waiting

    def prepare(
        self, ingestion: Ingestion, settings: Mapping[str, KnowledgeSettings], reauthenticate: Reauthenticate
    ) -> Callable[[], None]:
        """Returns a function that applies these to retries from then on."""

        def apply() -> None:
            self._ingestion, self._settings, self._reauthenticate = ingestion, settings, reauthenticate

        return apply

    def schedule(self, base: KnowledgeBaseId, caller: Principal | None = None, *, at_once: bool = False) -> None:
        """Retries the base's waiting documents, unless that is scheduled already. `caller`: whose request failed.
        `at_once`: without the first pause, and once more if a task for the base is just ending.
        """
        if self._ingestion is None:
            return
        if base not in self._tasks:
            self._start(base, self._retry(base, caller, 0.0 if at_once else FIRST_PAUSE_S))
        elif at_once:
            self._again[base] = caller

    async def resume_all(self, *, shared: bool = False) -> None:
        """Schedules all bases whose documents wait, as after a crash. `shared`: other servers of the same database may
        be embedding them, so each base is first watched until no server makes progress.
        """
        assert self._ingestion is not None
        try:
            for base in await self._ingestion.document_store.bases_to_embed():
                if base not in self._tasks:
                    resumed = self._resume_when_quiet(base) if shared else self._retry(base, None)
                    self._start(base, resumed)
        except StorageError as error:
            log.warning("waiting documents cannot be read: %s", error.message)

    async def close(self) -> None:
        self._is_closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, base: KnowledgeBaseId, retries: Coroutine[object, object, None]) -> None:
        self._tasks[base] = task = asyncio.get_running_loop().create_task(retries)
        task.add_done_callback(lambda _: self._ended(base))

    def _ended(self, base: KnowledgeBaseId) -> None:
        self._tasks.pop(base, None)
        if base in self._again and not self._is_closing:
            self.schedule(base, self._again.pop(base), at_once=True)

    async def _resume_when_quiet(self, base: KnowledgeBaseId) -> None:
        """Passages that two servers embed at once cost twice, and do no other harm."""
        assert self._ingestion is not None
        before = None
        while True:
            try:
                waiting = await self._ingestion.document_store.size(base)
            except StorageError:
                waiting = None
            if waiting is not None and waiting == before:
                break
            before = waiting
            await asyncio.sleep(QUIET_S * uniform(1, 2))  # of servers that start together, one is first
        await self._retry(base, None)

    async def _retry(
        self, base: KnowledgeBaseId, caller: Principal | None, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        pause, failed = FIRST_PAUSE_S, False
        await asyncio.sleep(first_pause_s)
        while True:
            try:
                if not await self._step(base, caller):
                    break
                pause = FIRST_PAUSE_S
            except RETRIED as error:
                pause = min(2 * pause, MAX_PAUSE_S)
                if not failed:
                    log.warning("documents of %r wait, and are retried: %s", base.name, error.message)
                failed = True
                await asyncio.sleep(pause)
            except SizewiseError as error:
                log.warning("documents of %r wait until they are added again: %s", base.name, error.message)
                return
        if failed:
            log.warning("documents of %r no longer wait", base.name)

    async def _step(self, base: KnowledgeBaseId, caller: Principal | None) -> bool:
        """Embeds for about STEP_S. Returns whether documents still wait. Raises Forbidden if no one has access."""
        assert self._ingestion is not None
        documents = await self._ingestion.document_store.pending_documents(base)
        record = await self._ingestion.document_store.base(base)
        starters = [] if record is None else [each.started_by for each in record.generations if each.built is not None]
        if not documents and not starters:
            return False
        try:
            principal = self._principal(base, documents, caller, starters)
        except Forbidden as error:
            waiting = [each for each in documents if each.state == "waiting"]
            if True in [await self._refuse(base, each, error) for each in waiting]:
                return True
            raise
        request = Request(
            EmbeddingRequest("", [], {}), principal, secrets.token_hex(16), time.perf_counter(), endpoint="graphql"
        )
        settings = settings_of_base(self._settings, base.name)
        left = await self._ingestion.embed_pending(request, base, settings, STEP_S, self._refuse)
        return bool(documents or left.waiting)

    async def _refuse(self, base: KnowledgeBaseId, document: DocumentRecord, error: SizewiseError) -> bool:
        return not isinstance(error, RETRIED) and await self.on_refused(base, document, error)

    def _principal(
        self,
        base: KnowledgeBaseId,
        documents: Sequence[DocumentRecord],
        caller: Principal | None,
        starters: Sequence[str],
    ) -> Principal:
        """The first of the caller and those who added the documents, or began a generation, that may manage the base.
        Raises Forbidden.
        """
        for key, user in _candidates(documents, caller, starters):
            found = self._reauthenticate(key, user, base.tenant, base.project)
            if found is not None and is_allowed(found, MANAGE_ACTION, Resource(base.tenant, base.project)):
                return replace(found, project=base.project)
        raise Forbidden("those who added them no longer have access", "add one of them again")


def _candidates(
    documents: Sequence[DocumentRecord], caller: Principal | None, starters: Sequence[str]
) -> Iterable[tuple[str, str]]:
    if caller is not None:
        yield caller.key_id, caller.user_id
    for each in dict.fromkeys((*(document.metadata.added_by for document in documents), *starters)):
        yield each, each
