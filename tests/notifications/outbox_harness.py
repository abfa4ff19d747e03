"""An outbox in a real database, and the deliveries of one or several servers; knows no kind of receiver."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.notifications import tables
from sizewise.notifications.delivery import Deliveries
from sizewise.notifications.outbox import Outbox
from sizewise.notifications.receivers import build_receivers
from sizewise.settings.root import FileSettings
from sizewise.settings.server import WebhookSettings
from sizewise.storage.database import Database, UnitOfWork, open_database, sqlite_url


@contextlib.contextmanager
def opened(place: Path | str) -> Iterator[Database]:
    """`place`: a folder, or the URL of a database."""
    url = sqlite_url(str(place / "outbox.db")) if isinstance(place, Path) else place
    database = open_database(url, [tables.SCHEMA])
    try:
        yield database
    finally:
        database.close()


class Server:
    """One server of a database."""

    def __init__(self, database: Database, webhooks: Mapping[str, WebhookSettings], *, shared: bool = False) -> None:
        self.database = database
        self.outbox = Outbox()
        self.deliveries = Deliveries(self.outbox, database.read_transaction, self.write, shared=shared)
        self.webhooks = webhooks

    async def write(self, work: UnitOfWork[Any]) -> Any:
        return await asyncio.to_thread(self.write_now, work)

    def write_now(self, work: UnitOfWork[Any]) -> Any:
        with self.database.write() as connection:
            return work(connection)

    def publish(self, event: str, data: Mapping[str, object], tenant: str = "local") -> None:
        self.write_now(self.outbox.publish(event, data, tenant))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        egress = EgressPolicy({each.url: each.place for each in self.webhooks.values()}, {"internal": "network"})
        async with HttpClient(egress) as client:
            settings = FileSettings(webhooks=self.webhooks)
            self.deliveries.prepare(build_receivers(settings, client))()
            self.outbox.prepare(settings.webhooks)()
            task = asyncio.create_task(self.deliveries.run())
            try:
                yield
            finally:
                task.cancel()
                await self.deliveries.stop()

    def status(self, name: str = "webhooks.ops") -> tables.ReceiverStatus:
        found = self.database.read_transaction(tables.receiver_statuses)
        return next((each for each in found if each.receiver == name), tables.ReceiverStatus(name))
