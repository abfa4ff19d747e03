"""Tables and queries of second factors and recovery codes; secrets are encrypted, recovery codes are digests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from sizewise.storage.database import overwriting_deleted
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER

META = MetaData()
SECOND_FACTORS = Table(
    "second_factors",
    META,
    Column("number", BIG_INTEGER, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),
    Column("confirmed", BIG_INTEGER),  # unix ms; null: enrollment has begun
    Column("last_step", BIG_INTEGER, nullable=False),  # of the last accepted code
    Column("bytes", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
RECOVERY_CODES = Table(
    "recovery_codes",
    META,
    Column("tenant", Text, nullable=False),
    Column("user", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
)
SEALED = EncryptedTable(SECOND_FACTORS, ("user",))
MIGRATION: tuple[ExecutableDDLElement, ...] = (
    CreateTable(SECOND_FACTORS),
    CreateTable(RECOVERY_CODES),
    CreateIndex(Index("second_factors_user", SECOND_FACTORS.c.user, unique=True)),
)


class SecondFactor(Struct, frozen=True):
    """`sealed`: the encrypted secret. `confirmed`: unix ms; None while enrollment waits for the first code."""

    tenant: str
    user: str
    created: int
    confirmed: int | None
    last_step: int
    sealed: bytes


def read_enrolled(connection: Connection) -> dict[str, int]:
    """User id -> since when (unix ms) the user has a second factor."""
    its = SECOND_FACTORS.c
    rows = connection.execute(select(its.user, its.confirmed).where(its.confirmed.is_not(None)))
    return {row.user: row.confirmed for row in rows}


def get_factor(connection: Connection, user: str) -> SecondFactor | None:
    its = SECOND_FACTORS.c
    query = select(its.tenant, its.user, its.created, its.confirmed, its.last_step, its.sealed)
    row = connection.execute(query.where(its.user == user)).first()
    return None if row is None else SecondFactor(*row)


def replace_factor(connection: Connection, factor: SecondFactor) -> None:
    delete_factor(connection, factor.user)
    row = {name: getattr(factor, name) for name in factor.__struct_fields__}
    connection.execute(insert(SECOND_FACTORS).values(**row, bytes=len(factor.sealed)))


def use_step(connection: Connection, factor: SecondFactor, step: int) -> bool:
    """Records the step of an accepted code. False if this one or a later one was accepted meanwhile."""
    its = SECOND_FACTORS.c
    mine = (its.user == factor.user) & (its.created == factor.created) & (its.last_step < step)
    return bool(connection.execute(update(SECOND_FACTORS).where(mine).values(last_step=step)).rowcount)


def confirm_factor(connection: Connection, user: str, at: int) -> None:
    connection.execute(update(SECOND_FACTORS).where(SECOND_FACTORS.c.user == user).values(confirmed=at))


def delete_factor(connection: Connection, user: str) -> int:
    """With its recovery codes; overwrites them. Returns the number of rows."""
    with overwriting_deleted(connection):
        codes = connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user == user)).rowcount
        return codes + connection.execute(delete(SECOND_FACTORS).where(SECOND_FACTORS.c.user == user)).rowcount


def replace_recovery_codes(connection: Connection, tenant: str, user: str, digests: Iterable[str]) -> None:
    connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user == user))
    connection.execute(insert(RECOVERY_CODES), [{"tenant": tenant, "user": user, "digest": each} for each in digests])


def use_recovery_code(connection: Connection, user: str, digest: str) -> bool:
    """Deletes it. False if the user has no such code: of two that try at once, one gets True."""
    mine = (RECOVERY_CODES.c.user == user) & (RECOVERY_CODES.c.digest == digest)
    return bool(connection.execute(delete(RECOVERY_CODES).where(mine)).rowcount)


def count_recovery_codes(connection: Connection, users: Iterable[str]) -> Mapping[str, int]:
    """User id -> codes that are left."""
    its = RECOVERY_CODES.c
    query = select(its.user, func.count().label("left")).where(its.user.in_(list(users))).group_by(its.user)
    return {row.user: row.left for row in connection.execute(query)}


def count_account(connection: Connection, user: str) -> int:
    """Rows about a user."""
    both = ((SECOND_FACTORS, SECOND_FACTORS.c.user), (RECOVERY_CODES, RECOVERY_CODES.c.user))
    return sum(
        connection.scalar(select(func.count()).select_from(table).where(column == user)) or 0 for table, column in both
    )
