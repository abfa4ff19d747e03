"""Agent memory of a user or session: encrypted facts, recalled by keyword and not by meaning.

Recalled text is untrusted data, never an instruction. Memories rank by the words they share with the query, rare words
counting more; of equals the newest is first.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from hashlib import blake2b
from secrets import token_hex
from typing import TypeVar

import msgspec
from msgspec import Struct

from sizewise.agents import tables
from sizewise.agents.tables import MemoryRow
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.handler import Request
from sizewise.principal import Principal
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.erasure import Caller

T = TypeVar("T")

TABLE = "memories"
MAX_TEXT_CHARS = 8_192
MAX_SUBJECT_CHARS = 200
WORDS = re.compile(r"[^\W_]+")


class StoredMemory(Struct, frozen=True, array_like=True):
    """The encrypted part of a memory."""

    subject: str
    text: str
    data_class: DataClass | None = None


class MemoryEntry(Struct, frozen=True):
    """`created`: unix ms. `data_class`: of the request that stored it, if it had one."""

    id: str
    text: str
    created: int
    data_class: DataClass | None = None


class AgentMemory:
    """The memories of all projects; a caller sees only those of their own. `subject` is the id of a user or session."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        executor: Executor,
        max_memories: int = 1_000,
    ) -> None:
        """`executor` runs encryption and reads. `max_memories`: per subject; the oldest are deleted beyond it."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor
        self._max_memories = max_memories

    async def remember(self, request: Request, subject: str, text: str, *, key: str = "") -> list[dict[str, object]]:
        """Stores `text` and returns it; storing again with the same `key` changes nothing.

        Raises BadRequest, EncryptionKeyUnavailable, StorageError.
        """
        text = text.strip()
        if not text or len(text) > MAX_TEXT_CHARS:
            raise BadRequest(f"a memory has 1 to {MAX_TEXT_CHARS} characters", "shorten the text")
        principal, hashed = request.principal, _subject_hash(request.principal, subject)
        drawn = blake2b(f"{hashed}/{key}".encode(), digest_size=10).hexdigest() if key else token_hex(10)
        id, now = f"mem_{drawn}", time.time_ns() // 1_000_000
        data_class = request.options.data_class
        plain = msgspec.msgpack.encode(StoredMemory(subject, text, data_class))
        sealed = await self._run_in_thread(
            lambda: self._encryption.encrypt(plain, principal.tenant, TABLE, f"{principal.project}/{id}"),
        )
        row = MemoryRow(
            tenant=principal.tenant,
            project=principal.project,
            whose=hashed,
            id=id,
            created=now,
            sealed=sealed,
            caller=Caller(principal.key_id, principal.user_id),
        )
        await self._write(lambda c: tables.insert_memory(c, row, self._max_memories))
        return [_memory_fields(MemoryEntry(id, text, now, data_class))]

    async def recall(self, request: Request, subject: str, query: str, limit: int = 5) -> list[dict[str, object]]:
        """Memories that share words with `query`, best first; without a query the newest first.

        Raises EncryptionKeyUnavailable, StorageError.
        """
        return [_memory_fields(each) for each in (await self.search(request.principal, subject, query))[:limit]]

    async def forget(self, request: Request, subject: str, query: str) -> list[dict[str, object]]:
        """Deletes the memory with the id `query`, or all that contain every word of it, and returns them.

        Raises BadRequest if `query` has no word: an empty query never deletes everything.
        """
        wanted = set(_words(query))
        if not wanted:
            raise BadRequest("`query` needs a word or the id of a memory", "list the ids with recall")
        found = await self.list_memories(request.principal, subject)
        gone = [each for each in found if each.id == query.strip()] or [
            each for each in found if wanted <= set(_words(each.text))
        ]
        await self.remove(request.principal, subject, [each.id for each in gone])
        return [_memory_fields(each) for each in gone]

    async def search(self, principal: Principal, subject: str, query: str) -> list[MemoryEntry]:
        """Like `recall`, without a limit."""
        return rank_memories(await self.list_memories(principal, subject), query)

    async def list_memories(self, principal: Principal, subject: str) -> list[MemoryEntry]:
        """All memories of `subject`, newest first. Raises EncryptionKeyUnavailable, StorageError."""
        hashed = _subject_hash(principal, subject)
        return await self._run_in_thread(lambda: self._load_memories(principal, hashed, subject))

    async def remove(
        self,
        principal: Principal,
        subject: str,
        ids: Sequence[str],
        audit_event: AuditEvent | None = None,
    ) -> int:
        """Deletes memories and returns their number. `audit_event` is appended in the same transaction."""
        hashed = _subject_hash(principal, subject)
        if not ids:
            return 0
        return await self._write(
            lambda c: tables.delete_memories(c, principal.tenant, principal.project, hashed, ids, audit_event),
        )

    def _load_memories(self, principal: Principal, hashed: str, subject: str) -> list[MemoryEntry]:
        found: list[MemoryEntry] = []
        for row in self._read(
            lambda c: tables.list_memories(c, principal.tenant, principal.project, hashed, self._max_memories),
        ):
            plain = self._encryption.decrypt(row.sealed, row.tenant, TABLE, f"{row.project}/{row.id}")
            said = msgspec.msgpack.decode(plain, type=StoredMemory)
            if said.subject == subject:
                found.append(MemoryEntry(row.id, said.text, row.created, said.data_class))
        return found

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def rank_memories(memories: Sequence[MemoryEntry], query: str) -> list[MemoryEntry]:
    """Memories that share words with `query`, rare words counting more; all, in their order, for an empty query."""
    wanted = set(_words(query))
    if not wanted:
        return list(memories)
    texts = [Counter(_words(each.text)) for each in memories]
    seen = Counter(word for words in texts for word in words)
    weigh = {word: math.log(1 + len(memories) / seen[word]) for word in wanted if seen[word]}
    scores = [sum(weigh[word] for word in weigh if word in words) / math.sqrt(1 + len(words)) for words in texts]
    order = sorted(range(len(memories)), key=lambda place: (-scores[place], -memories[place].created))
    return [memories[place] for place in order if scores[place] > 0]


def _words(text: str) -> list[str]:
    return [word for word in WORDS.findall(text[:MAX_TEXT_CHARS].casefold()) if len(word) > 2]


def _subject_hash(principal: Principal, subject: str) -> str:
    if not subject.strip() or len(subject) > MAX_SUBJECT_CHARS:
        raise BadRequest(
            f"the owner of a memory has 1 to {MAX_SUBJECT_CHARS} characters",
            "use the id of a user or a session",
        )
    return subject_hash(principal.tenant, principal.project, subject)


def subject_hash(tenant: str, project: str, subject: str) -> str:
    """What stands for the owner of a memory in its row."""
    return blake2b(msgspec.json.encode((tenant, project, subject)), digest_size=20).hexdigest()


def _memory_fields(memory: MemoryEntry) -> dict[str, object]:
    shown: dict[str, object] = {"id": memory.id, "text": memory.text, "created": memory.created}
    return shown | ({} if memory.data_class is None else {"data_class": memory.data_class})
