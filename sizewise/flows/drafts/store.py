"""Store of drafts: each person's own text of a flow with its layout, encrypted; a lost update is refused."""

from __future__ import annotations

import time
from functools import partial

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, Conflict, PathNotFound
from sizewise.flows.drafts import tables
from sizewise.flows.drafts.tables import FlowDraft, Transaction
from sizewise.flows.language.types import Json
from sizewise.flows.language.yaml_source import MAX_BYTES
from sizewise.flows.step_store import StepStore
from sizewise.principal import Principal
from sizewise.settings.validators import NAME

TABLE = "flow_drafts"
MAX_LAYOUT_BYTES = 262_144
MAX_DRAFTS_PER_USER = 200
MAX_NAME_CHARS = 100


class DraftContent(Struct, frozen=True):
    """`layout`: positions and the like, which are the editor's own; null: none."""

    text: str
    layout: Json = None


class FlowDrafts:
    """Texts of drafts are read by their own user only."""

    def __init__(self, store: StepStore) -> None:
        self._store = store

    async def list_drafts(self, tenant: str, project: str) -> list[FlowDraft]:
        """Of all users of a project, newest first."""
        return await self._store.read_in_thread(lambda c: tables.list_drafts(c, tenant, project))

    async def read(self, principal: Principal, name: str) -> tuple[FlowDraft, DraftContent] | None:
        """The caller's own draft. Raises BadRequest for a caller that is no user."""
        return await self._store.run_in_thread(partial(self._read, _place(principal, name)))

    def _read(self, place: FlowDraft) -> tuple[FlowDraft, DraftContent] | None:
        found = self._store.read(lambda c: tables.find_draft(c, place))
        if found is None:
            return None
        draft, sealed = found
        plain = self._store.encryption.decrypt(sealed, draft.tenant, TABLE, _row(draft))
        return draft, msgspec.json.decode(plain, type=DraftContent)

    async def save(
        self,
        principal: Principal,
        name: str,
        content: DraftContent,
        base_version: str,
        expected_saved: int | None = None,
    ) -> FlowDraft:
        """Replaces the caller's draft. `expected_saved`: when the replaced one was saved; 0: there is none.

        Raises Conflict if it was saved meanwhile, as by another tab; BadRequest for one that is too large.
        """
        if len(content.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise BadRequest(f"the draft is larger than {MAX_BYTES} bytes", "split the flow", param="text")
        if len(msgspec.json.encode(content.layout)) > MAX_LAYOUT_BYTES:
            raise BadRequest(f"the layout is larger than {MAX_LAYOUT_BYTES} bytes", "keep less of it", param="layout")
        made = msgspec.structs.replace(_place(principal, name), base_version=base_version[:64])
        return await self._store.run_in_thread(partial(self._save, made, content, expected_saved))

    def _save(self, draft: FlowDraft, content: DraftContent, expected_saved: int | None) -> FlowDraft:
        sealed = self._store.encryption.encrypt(msgspec.json.encode(content), draft.tenant, TABLE, _row(draft))

        def work(c: Transaction) -> FlowDraft:
            found = tables.find_draft(c, draft)
            before = 0 if found is None else found[0].saved
            if expected_saved is not None and before != expected_saved:
                raise Conflict(
                    f"your draft of {draft.name!r} was saved elsewhere meanwhile",
                    "read it with flowDraft, and merge the two",
                )
            if found is None and tables.count_drafts(c, draft.tenant, draft.user) >= MAX_DRAFTS_PER_USER:
                raise Conflict(f"you have {MAX_DRAFTS_PER_USER} drafts", "drop some: dropFlowDraft")
            made = msgspec.structs.replace(draft, saved=max(time.time_ns() // 1_000_000, before + 1))
            tables.replace_draft(c, made, sealed)
            return made

        return self._store.write(work)

    async def drop(self, principal: Principal, name: str) -> None:
        """Raises PathNotFound."""
        place = _place(principal, name)
        gone = await self._store.run_in_thread(
            lambda: self._store.write(lambda c: tables.delete_draft(c, place)),
        )
        if not gone:
            raise PathNotFound(f"you have no draft of {name[:100]!r}", "list them: flowDrafts")


def _place(principal: Principal, name: str) -> FlowDraft:
    if not principal.user_id:
        raise BadRequest("drafts belong to people, and a service key is none", "sign in, or use a personal key")
    if not NAME.match(name) or len(name) > MAX_NAME_CHARS:
        raise BadRequest(f"{name[:100]!r} is not a valid name", "use letters, digits, '.', '_' and '-'", param="name")
    return FlowDraft(
        tenant=principal.tenant,
        project=principal.project,
        name=name,
        user=principal.user_id,
        base_version="",
        saved=0,
    )


def _row(draft: FlowDraft) -> str:
    return f"{draft.project}/{draft.name}/{draft.user}"
