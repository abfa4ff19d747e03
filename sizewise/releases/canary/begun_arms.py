"""Arms of sessions that have begun: from their records, so that a conversation keeps its arm on every server."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from sizewise.errors import StorageError
from sizewise.releases.canary.split import Arm
from sizewise.releases.canary.unit_queries import begun_arm
from sizewise.storage.database import UnitOfWork

log = logging.getLogger("sizewise.releases")

KEPT = 50_000
"""Sessions of this process whose arms are known without a look at the database."""

ReadArm = Callable[[UnitOfWork[Arm | None]], Awaitable[Arm | None]]


class BegunArms:
    """One per process. A session without a record is not remembered: its first request decides."""

    def __init__(self, read: ReadArm) -> None:
        self._read = read
        self._known: OrderedDict[tuple[str, str, str, str, str], Arm] = OrderedDict()

    async def find(self, place: tuple[str, str, str], canary: str, session: str) -> Arm | None:
        """The arm that a session began with: that of its last record in the environment; None: it has none.

        `canary`: hash of the release. Where the database cannot be read, the split decides.
        """
        key = (*place, canary, session)
        if key in self._known:
            return self._known[key]
        try:
            found = await self._read(lambda c: begun_arm(c, place, canary, session))
        except StorageError as error:
            log.warning("the arm of a session is not known: %s", error.message)
            return None
        if found is not None:
            self._known[key] = found
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found
