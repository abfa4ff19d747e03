"""Key rotation: rewraps and renews data keys, deletes those of a tenant, and reports them; encrypts no row itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from sizewise.storage.database import Database
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.reencryption import DataKeyStatus, ReencryptionJob

T = TypeVar("T")


class KeyRotation:
    """Methods raise EncryptionKeyUnavailable or StorageError. Rows follow a new key in the background."""

    def __init__(
        self,
        encryption: EnvelopeEncryption,
        job: ReencryptionJob,
        database: Database,
        executor: Executor,
    ) -> None:
        """`executor` runs calls to the key service, which may take seconds."""
        self.job = job
        self._encryption = encryption
        self._database = database
        self._executor = executor

    @property
    def problem(self) -> str:
        """Why encrypted rows cannot be read; empty when they can. Retries a key service that failed."""
        if self._encryption.should_probe:
            self.probe()
        return self._encryption.problem

    def probe(self) -> None:
        """Starts a check of the key service; `problem` reports what it found."""
        self._executor.submit(self._encryption.probe)

    def resume(self) -> None:
        """Starts re-encryption where an earlier server left it. Returns at once."""
        self._executor.submit(self.job.resume)

    async def rotate(self, new_data_keys: bool) -> int:
        """Rewraps every data key with the newest key and returns their number. With `new_data_keys` it first makes
        new ones and re-encrypts the rows of the old ones in the background.
        """
        if new_data_keys:
            await self._run(self._encryption.rotate_data_keys)
        count = await self._run(self._encryption.rewrap)
        self.job.start()
        return count

    async def status(self) -> tuple[str, list[DataKeyStatus]]:
        """The name of the wrapping key, and every data key with the number of rows it encrypts."""
        by = await self._run(self._encryption.key_provider)
        return by, await self._run(self.job.key_statuses)

    async def shred(self, tenant: str) -> int:
        """Deletes the data keys of `tenant` and returns their number. Its rows become unreadable, also in a copy of the
        database.
        """
        count = await self._run(partial(self._encryption.delete_keys, tenant))
        await asyncio.to_thread(self._database.checkpoint, truncate=True)
        return count

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
