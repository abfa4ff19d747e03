"""The wrapped data key table, and access to the encrypted rows of any table for re-encryption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database import TransactionRunner, overwriting_deleted
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

DATA_KEYS = Table(
    "data_keys",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),  # hex
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("retired", BIG_INTEGER),  # unix ms; it decrypts, but no longer encrypts
    Column("by", Text, nullable=False),
    Column("seals", BIG_INTEGER, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)
BY_ID = Index("data_keys_id", DATA_KEYS.c.tenant, DATA_KEYS.c.id, unique=True)

SCHEMA = Migrations("keyring", ((CreateTable(DATA_KEYS), CreateIndex(BY_ID)),))

USES_PER_BLOCK = 1 << 20
"""Uses that a process reserves at once, so that not each needs a transaction."""
MAX_USES = 1 << 31
"""Uses of one key, half of what random nonces allow; then a new key is created."""


class DataKey(Struct, frozen=True):
    """`by`: what wrapped it, `key 1a2b3c4d` of the local ring or `kms NAME`."""

    tenant: str
    id: str
    created: int
    by: str
    wrapped: bytes
    retired: int | None = None
    seals: int = USES_PER_BLOCK


class DataKeyStore:
    """Access to the table. Each method is one transaction and may raise StorageError."""

    def __init__(self, read: TransactionRunner, write: TransactionRunner) -> None:
        self._read = read
        self._write = write

    def active_key(self, tenant: str) -> DataKey | None:
        """The key that encrypts for `tenant`, with USES_PER_BLOCK more uses reserved; None if a new key is due."""

        def work(connection: Connection) -> DataKey | None:
            its = DATA_KEYS.c
            mine = (its.tenant == tenant) & its.retired.is_(None) & (its.seals <= MAX_USES - USES_PER_BLOCK)
            row = connection.execute(_select_keys().where(mine).order_by(its.number.desc()).limit(1)).one_or_none()
            if row is None:
                return None
            key = DataKey(*row)
            taken = update(DATA_KEYS).where(its.tenant == tenant, its.id == key.id)
            connection.execute(taken.values(seals=its.seals + USES_PER_BLOCK))
            return key

        return self._write(work)

    def find(self, tenant: str, id: str) -> DataKey | None:
        its = DATA_KEYS.c
        row = self._read(lambda c: c.execute(_select_keys().where(its.tenant == tenant, its.id == id)).one_or_none())
        return None if row is None else DataKey(*row)

    def all_keys(self) -> list[DataKey]:
        """Keys of all tenants, oldest first."""
        return self._read(lambda c: [DataKey(*row) for row in c.execute(_select_keys().order_by(DATA_KEYS.c.number))])

    def add(self, key: DataKey) -> None:
        row = {name: getattr(key, name) for name in DataKey.__struct_fields__}
        self._write(lambda c: c.execute(insert(DATA_KEYS).values(**row)))

    def replace_wrapping(self, key: DataKey, by: str, wrapped: bytes) -> None:
        """Stores a new wrapping, unless it was changed meanwhile."""
        its = DATA_KEYS.c
        same = (its.tenant == key.tenant) & (its.id == key.id) & (its.wrapped == key.wrapped)
        self._write(lambda c: c.execute(update(DATA_KEYS).where(same).values(by=by, wrapped=wrapped)))

    def retire_all(self, at: int) -> None:
        """Retires all active keys; they still decrypt."""
        unretired = update(DATA_KEYS).where(DATA_KEYS.c.retired.is_(None))
        self._write(lambda c: c.execute(unretired.values(retired=at)))

    def remove(self, key: DataKey) -> None:
        self._write(lambda c: _secure_delete(c, (DATA_KEYS.c.tenant == key.tenant) & (DATA_KEYS.c.id == key.id)))

    def delete_tenant_keys(self, tenant: str) -> int:
        """Deletes the keys of a tenant, whose data becomes unreadable. Returns their number."""
        return self._write(lambda c: _secure_delete(c, DATA_KEYS.c.tenant == tenant))


def _select_keys() -> Select[Any]:
    its = DATA_KEYS.c
    return select(its.tenant, its.id, its.created, its.by, its.wrapped, its.retired, its.seals)


def _secure_delete(connection: Connection, which: ColumnElement[bool]) -> int:
    """Deletes rows and overwrites their bytes in the file; SQLite's log keeps them until the next checkpoint."""
    with overwriting_deleted(connection):
        return connection.execute(delete(DATA_KEYS).where(which)).rowcount


class EncryptedRow(Struct, frozen=True):
    """An encrypted row of any table. `row_id`: the part of its binding after tenant and table name."""

    number: int
    tenant: str
    row_id: str
    ciphertext: bytes


@dataclass(frozen=True)
class EncryptedTable:
    """A table with the columns `number` (its key), `tenant`, `bytes` and `sealed`. `id_columns`: the columns that its
    rows are bound to, joined by "/".
    """

    table: Table
    id_columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.table.name)

    def rows(self, connection: Connection, after: int, limit: int) -> list[EncryptedRow]:
        its = self.table.c
        place = [its[name] for name in self.id_columns]
        query = select(its.number, its.tenant, its.sealed, *place).where(its.number > after)
        found = connection.execute(query.order_by(its.number).limit(limit))
        return [EncryptedRow(number, tenant, "/".join(map(str, at)), sealed) for number, tenant, sealed, *at in found]

    def replace_rows(self, connection: Connection, replacements: list[tuple[EncryptedRow, bytes]]) -> None:
        """Replaces each row, unless it was changed or deleted meanwhile."""
        its = self.table.c
        for row, sealed in replacements:
            same = (its.number == row.number) & (its.sealed == row.ciphertext)
            connection.execute(update(self.table).where(same).values(sealed=sealed, bytes=len(sealed)))

    def newest_header(self, connection: Connection, size: int) -> bytes | None:
        """The first `size` bytes of the row that was added last, of any tenant."""
        its = self.table.c
        return connection.scalar(select(func.substr(its.sealed, 1, size)).order_by(its.number.desc()).limit(1))

    def count_by_header(self, connection: Connection, size: int) -> dict[tuple[str, bytes], int]:
        """Rows by tenant and their first `size` bytes. Reads the whole table."""
        its = self.table.c
        head = func.substr(its.sealed, 1, size)
        query = select(its.tenant, head, func.count()).group_by(its.tenant, head)
        return {(tenant, bytes(start)): count for tenant, start, count in connection.execute(query)}
