"""Leader lease: which server of a database does the work that one server does, with an epoch that fences stale ones.

Leader-only work checks its epoch in its own transaction. So a leader that was paused for longer than its lease, and is
continued after another has taken over, changes nothing.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, select, update
from sqlalchemy.schema import CreateTable

from sizewise.errors import Conflict, StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.storage.database import AsyncTransactionRunner, UnitOfWork
from sizewise.storage.database_clock import database_time_ms
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import upsert

META = MetaData()

LEASES = Table(
    "leader_leases",
    META,
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),  # of the work
    Column("holder", Text, nullable=False),
    Column("epoch", BIG_INTEGER, nullable=False),  # one more for each holder
    Column("expires", BIG_INTEGER, nullable=False),  # unix ms by the clock of the database
)
TENANT = "*"
"""A lease is of all organizations."""

SCHEMA = Migrations("leader_leases", ((CreateTable(LEASES),),))

LEADER = "periodic work"
PROCESSES = "processes"
"""No lease: a row that counts in its epoch."""
LEASE_S = 10.0
"""Seconds after which another server takes over from one that is gone."""
RENEWALS = 3
"""In the time of a lease."""

log = logging.getLogger("sizewise.storage")

T = TypeVar("T")


def take_lease(connection: Connection, name: str, holder: str, lease_s: float) -> int:
    """The epoch if `holder` leads, with its lease renewed; 0 if another does. Raises Conflict if two begin at once."""
    now, its = database_time_ms(connection), LEASES.c
    mine = (its.tenant == TENANT) & (its.name == name)
    row = connection.execute(select(its.holder, its.epoch, its.expires).where(mine).with_for_update()).one_or_none()
    until = {"holder": holder, "expires": now + round(lease_s * 1_000)}
    if row is None:
        connection.execute(insert(LEASES).values({"tenant": TENANT, "name": name, "epoch": 1} | until))
        return 1
    if row.holder != holder and row.expires > now:
        return 0
    epoch: int = row.epoch + (row.holder != holder)
    connection.execute(update(LEASES).where(mine).values(until | {"epoch": epoch}))
    return epoch


def count_process(connection: Connection) -> int:
    """How many processes have begun on this database, with this one: another number for each, from 1 on."""
    key = {"tenant": TENANT, "name": PROCESSES}
    upsert(connection, LEASES, key, {"holder": "", "epoch": 1, "expires": 0}, {"epoch": LEASES.c.epoch + 1})
    its = LEASES.c
    count: int = connection.execute(
        select(its.epoch).where((its.tenant == TENANT) & (its.name == PROCESSES))
    ).scalar_one()
    return count


def is_leader(connection: Connection, name: str, epoch: int) -> bool:
    """Whether no one has led since `epoch`; no one can before this transaction ends."""
    its = LEASES.c
    found = select(its.epoch).where((its.tenant == TENANT) & (its.name == name)).with_for_update()
    return connection.scalar(found) == epoch


class StaleLeader(StorageError):
    """Another server leads now: nothing was written."""


class Leadership:
    """Whether this server leads those of its database, and the transactions that the leader does alone.

    A database of one server needs no lease: that server always leads.
    """

    def __init__(self, holder: str, write: AsyncTransactionRunner, *, shared: bool, lease_s: float = LEASE_S) -> None:
        """`holder`: unique among the processes that ever use the database."""
        self._holder = holder
        self._write = write
        self._shared = shared
        self._lease_s = lease_s
        self._epoch = 0

    def leads(self) -> bool:
        return not self._shared or self._epoch != 0

    def periodic_tasks(self) -> list[PeriodicTask]:
        if not self._shared:
            return []
        return [PeriodicTask("leader lease", self._lease_s / RENEWALS, self.renew, at_once=True)]

    async def renew(self) -> None:
        """Raises StorageError; then this server does not lead."""
        epoch, self._epoch = self._epoch, 0
        with suppress(Conflict):  # two servers of a new database began at once
            self._epoch = await self._write(lambda c: take_lease(c, LEADER, self._holder, self._lease_s))
        if self._epoch and self._epoch != epoch:
            log.info("this server does the periodic work of its database from now on (epoch %d)", self._epoch)

    async def write(self, work: UnitOfWork[T]) -> T:
        """A transaction of the leader. Raises StaleLeader if another server has led since the last renewal."""
        if not self._shared:
            return await self._write(work)
        epoch = self._epoch

        def fenced(connection: Connection) -> T:
            if not epoch or not is_leader(connection, LEADER, epoch):
                raise StaleLeader("another server leads now", "nothing needs to be done")
            return work(connection)

        return await self._write(fenced)
