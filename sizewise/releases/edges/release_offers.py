"""Release offers: what is live in an environment, signed for its edges by a key of the project; decides no access."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from hashlib import sha256
from typing import TypeVar

import msgspec

from sizewise.ed25519 import generate_key, public_key, sign
from sizewise.errors import PathNotFound
from sizewise.releases.edges import tables
from sizewise.releases.edges.offer import Offer, SignedOffer, pack_release
from sizewise.releases.environments.environment_store import EnvironmentStore, Place
from sizewise.releases.release_store import ReleaseStore
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption

T = TypeVar("T")

KEYS = tables.SEALED.name
KEPT_ARCHIVES = 2
"""In memory: many machines fetch the same one."""


class ReleaseOffers:
    """`executor`: the threads that decrypt and wait for the database."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: TransactionRunner,
        executor: Executor,
        releases: ReleaseStore,
        environments: EnvironmentStore,
    ) -> None:
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor
        self._releases = releases
        self._environments = environments
        self._archives: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    async def offer(self, place: Place) -> SignedOffer:
        """Makes the project's key if there is none. Raises PathNotFound if no release is live, BadRequest,
        EncryptionKeyUnavailable, StorageError.
        """
        live = await self._environments.find(place)
        if live is None:
            raise _nothing(place)
        archive = await self._archive(place, live.release)
        said = Offer(
            environment=place[2],
            release=live.release,
            since=live.changed,
            bytes=len(archive),
            sha256=sha256(archive).hexdigest(),
        )
        return await self._in_thread(partial(self._signed, place, msgspec.json.encode(said)))

    async def archive(self, place: Place, release: str) -> bytes:
        """Raises PathNotFound unless the release is live there, and as `offer`."""
        live = await self._environments.find(place)
        if live is None or live.release != release:
            raise _nothing(place)
        return await self._archive(place, release)

    async def _archive(self, place: Place, release: str) -> bytes:
        wanted = (*place[:2], release)
        found = self._archives.get(wanted)
        if found is None:
            loaded = await self._releases.load(*wanted)
            found = self._archives[wanted] = await self._in_thread(partial(pack_release, loaded))
            while len(self._archives) > KEPT_ARCHIVES:
                self._archives.popitem(last=False)
        return found

    def _signed(self, place: Place, statement: bytes) -> SignedOffer:
        private = self._key(place[0], place[1])
        made, key = sign(private, statement), public_key(private)
        return SignedOffer(statement.decode(), base64.b64encode(made).decode(), base64.b64encode(key).decode())

    def _key(self, tenant: str, project: str) -> bytes:
        sealed = self._read(partial(tables.find_key, tenant=tenant, project=project))
        if sealed is None:
            mine = self._encryption.encrypt(generate_key(), tenant, KEYS, project)
            now = time.time_ns() // 1_000_000
            sealed = self._write(lambda c: tables.insert_key(c, tenant, project, mine, now))
        return self._encryption.decrypt(sealed, tenant, KEYS, project)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _nothing(place: Place) -> PathNotFound:
    return PathNotFound(
        f"this release is not live in {place[2][:100]!r}", "ask what is: GET /edge/release; or: sizewise release status"
    )
