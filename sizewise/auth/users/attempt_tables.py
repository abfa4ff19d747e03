"""Table of attempts to sign in: how many, since when, by a short digest of account and address; holds no name."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, case, delete, select, update
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from sizewise.storage.migrations import BIG_INTEGER
from sizewise.storage.upsert import upsert

SIGN_IN_ATTEMPTS = Table(
    "sign_in_attempts",
    MetaData(),
    Column("slot", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("tenant", Text, nullable=False),  # empty: nobody has signed in yet
    Column("attempts", Integer, nullable=False),
    Column("since", BIG_INTEGER, nullable=False),  # unix ms
)
MIGRATION: tuple[ExecutableDDLElement, ...] = (CreateTable(SIGN_IN_ATTEMPTS),)


def attempts_of(connection: Connection, slots: Iterable[int], after: int) -> dict[int, tuple[int, int]]:
    """Attempts and the time of the first, by slot; those that began at `after` or before are over."""
    its = SIGN_IN_ATTEMPTS.c
    known = (its.slot.in_(list(slots))) & (its.since > after)
    return {
        slot: (count, since)
        for slot, count, since in connection.execute(select(its.slot, its.attempts, its.since).where(known))
    }


def add_attempt(connection: Connection, slot: int, now: int, after: int) -> None:
    """One more, or the first where those before are over. A transaction that counts the same slot waits for the end of
    this one.
    """
    its = SIGN_IN_ATTEMPTS.c
    is_over = its.since <= after
    more = {"attempts": case((is_over, 1), else_=its.attempts + 1), "since": case((is_over, now), else_=its.since)}
    upsert(connection, SIGN_IN_ATTEMPTS, {"slot": slot}, {"tenant": "", "attempts": 1, "since": now}, more)


def take_back_attempts(connection: Connection, slot: int, *, every: bool) -> None:
    """The last attempt, or `every` one."""
    its = SIGN_IN_ATTEMPTS.c
    mine = (its.slot == slot) & (its.attempts > 0)
    connection.execute(update(SIGN_IN_ATTEMPTS).where(mine).values(attempts=0 if every else its.attempts - 1))


def delete_old_attempts(connection: Connection, before: int) -> None:
    """Deletes those that began before `before` (unix ms)."""
    connection.execute(delete(SIGN_IN_ATTEMPTS).where(SIGN_IN_ATTEMPTS.c.since < before))
