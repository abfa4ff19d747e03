"""Tables and queries for API keys, and the version that increases with every change of keys, users or sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table, Text, delete, func, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.users import attempt_tables, factor_tables, link_tables, logout_tables
from sizewise.auth.users import tables as user_tables
from sizewise.auth.users.tables import UserSnapshot
from sizewise.data_class import DataClass
from sizewise.errors import Conflict
from sizewise.principal import KeyScope
from sizewise.storage.database import UnitOfWork, migration_statement, overwriting_deleted
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import upsert

META = MetaData()


def _first() -> list[Column[Any]]:
    """The columns of version 1."""
    return [
        Column("id", Text, primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("may", Text, nullable=False),  # space-separated actions
        Column("data_class", Text),
        Column("created", BIG_INTEGER, nullable=False),
        Column("expires", BIG_INTEGER),
        Column("revoked", BIG_INTEGER),
    ]


KEYS = Table(
    "keys",
    META,
    *_first(),
    Column("user", Text, nullable=False, server_default=""),
    Column("wide", Integer, nullable=False, server_default="0"),
    Column("scope", Text),  # JSON
    Column("by", Text, nullable=False, server_default=""),
    Column("environment", Text, nullable=False, server_default=""),
)
BY_DIGEST = Index("keys_digest", KEYS.c.digest, unique=True)

VERSIONS = Table(
    "key_versions",  # one row; servers that cache keys compare this number
    META,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)
VERSION_TENANT = "*"
"""One version for all tenants, because keys are looked up before the tenant is known."""

SCHEMA = Migrations(
    "accounts",
    (
        (CreateTable(Table("keys", MetaData(), *_first())), CreateIndex(BY_DIGEST), CreateTable(VERSIONS)),
        (
            migration_statement("ALTER TABLE keys ADD COLUMN \"user\" TEXT NOT NULL DEFAULT ''"),
            migration_statement("ALTER TABLE keys ADD COLUMN wide INTEGER NOT NULL DEFAULT 0"),
            migration_statement("ALTER TABLE keys ADD COLUMN scope TEXT"),
            migration_statement("UPDATE keys SET wide = 1"),  # before, every key had access to its whole organization
        ),
        user_tables.MIGRATION,
        (migration_statement("ALTER TABLE keys ADD COLUMN \"by\" TEXT NOT NULL DEFAULT ''"),),
        (  # permissions in the words of the settings; a key never had the renamed `found_organisations`
            migration_statement(
                "UPDATE keys SET may = trim(replace(' ' || may || ' ', ' manage_vault ', ' manage_encryption '))",
            ),
        ),
        (  # before, every key with `ask` could decide; these could publish the flow without its approval
            migration_statement(
                "UPDATE keys SET may = may || ' approve'"
                " WHERE replace(' ' || may || ' ', ' manage_flows ', '') <> ' ' || may || ' '",
            ),
        ),
        (*user_tables.SESSION_ORIGIN_MIGRATION, *link_tables.MIGRATION),
        (migration_statement("ALTER TABLE keys ADD COLUMN environment TEXT NOT NULL DEFAULT ''"),),
        factor_tables.MIGRATION,
        logout_tables.MIGRATION,
        attempt_tables.MIGRATION,
    ),
)


class ApiKey(Struct, frozen=True):
    """A key without its text. Times are unix ms; `expires` and `revoked` None: never. `digest`: SHA-256 in hex.

    `may`: actions and action groups of permissions.py. `wide`: valid in all projects of the organization. `user`: id of
    the owner; empty: a service key. `by`: id of the user or key that created it; empty for old keys. `environment`:
    empty: the default one.
    """

    id: str
    tenant: str
    project: str
    name: str
    digest: str
    may: frozenset[str]
    data_class: DataClass | None
    created: int
    expires: int | None = None
    revoked: int | None = None
    user: str = ""
    wide: bool = False
    scope: KeyScope | None = None
    by: str = ""
    environment: str = ""


class CredentialSnapshot(Struct, frozen=True):
    """All keys and users of all tenants, at one version."""

    version: int
    keys: list[ApiKey]
    users: UserSnapshot


def change_first_key(
    connection: Connection, changes: Callable[[Sequence[ApiKey]], Sequence[UnitOfWork[CredentialSnapshot]]]
) -> CredentialSnapshot:
    """`changes`: what is to be done, given all keys. Servers that start at once do it one after the other."""
    if connection.dialect.name == "postgresql":  # where a write transaction does not exclude others
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("first key"))))
    for change in changes(list_keys(connection)):
        change(connection)
    return read_snapshot(connection)


def add_key(connection: Connection, key: ApiKey, event: AuditEvent) -> CredentialSnapshot:
    """Raises Conflict (from the transaction) if the id or the digest exists."""
    audit.append_event(connection, event)
    row = {column.name: getattr(key, column.name) for column in KEYS.columns}
    scope = None if key.scope is None else msgspec.json.encode(key.scope).decode()
    connection.execute(insert(KEYS).values({**row, "may": " ".join(sorted(key.may)), "scope": scope}))
    return bump_version(connection)


MAX_KEYS_PER_USER = 100
"""Valid keys of one user."""


def add_user_key(connection: Connection, key: ApiKey, event: AuditEvent) -> CredentialSnapshot:
    """Raises Conflict if the user already has MAX_KEYS_PER_USER valid keys."""
    mine = (KEYS.c.tenant == key.tenant) & (KEYS.c.user == key.user) & KEYS.c.revoked.is_(None)
    good = mine & (KEYS.c.expires.is_(None) | (KEYS.c.expires > key.created))
    if (connection.scalar(select(func.count()).select_from(KEYS).where(good)) or 0) >= MAX_KEYS_PER_USER:
        raise Conflict(f"you have {MAX_KEYS_PER_USER} personal keys", "revoke some: sizewise keys lists them")
    return add_key(connection, key, event)


PERMANENT_KEY_NAMES = ("first", "SIZEWISE_KEY")
"""Names of keys created at startup. They are never deleted: a revoked one must not be created again."""


def delete_expired_keys(connection: Connection, before: int) -> None:
    """Deletes keys that were revoked or expired before `before` (unix ms)."""
    over = (KEYS.c.revoked < before) | (KEYS.c.expires < before)
    connection.execute(delete(KEYS).where(over, KEYS.c.name.not_in(PERMANENT_KEY_NAMES)))


def revoke_key(connection: Connection, key: ApiKey, at: int, event: AuditEvent) -> CredentialSnapshot:
    """`at`: unix ms; a key that is already revoked keeps its first time."""
    mine = (KEYS.c.tenant == key.tenant) & (KEYS.c.id == key.id)
    if not connection.execute(update(KEYS).where(mine, KEYS.c.revoked.is_(None)).values(revoked=at)).rowcount:
        return read_snapshot(connection)
    audit.append_event(connection, event)
    return bump_version(connection)


def revoke_user_keys(connection: Connection, tenant: str, user: str, at: int) -> list[str]:
    """Revokes all keys of a user and returns their ids. The caller writes the audit event."""
    mine = (KEYS.c.tenant == tenant) & (KEYS.c.user == user) & KEYS.c.revoked.is_(None)
    ids = list(connection.scalars(select(KEYS.c.id).where(mine).order_by(KEYS.c.created, KEYS.c.id)))
    connection.execute(update(KEYS).where(mine).values(revoked=at))
    return ids


def user_key_ids(connection: Connection, tenant: str, user: str) -> list[str]:
    """Of all personal keys of a user that are stored, also revoked ones."""
    return list(connection.scalars(select(KEYS.c.id).where(KEYS.c.tenant == tenant, KEYS.c.user == user)))


def key_users(connection: Connection, tenant: str) -> dict[str, str]:
    """The user's id of each personal key that is stored, also revoked ones."""
    its = KEYS.c
    return {
        row.id: row.user
        for row in connection.execute(select(its.id, its.user).where(its.tenant == tenant, its.user != ""))
    }


def delete_user_keys(connection: Connection, tenant: str, user: str) -> int:
    """Deletes and overwrites the personal keys of a user, and returns their number."""
    with overwriting_deleted(connection):
        return connection.execute(delete(KEYS).where(KEYS.c.tenant == tenant, KEYS.c.user == user)).rowcount


def get_key(connection: Connection, tenant: str, id: str) -> ApiKey | None:
    row = connection.execute(select(KEYS).where((KEYS.c.tenant == tenant) & (KEYS.c.id == id))).first()
    return None if row is None else _key(row._mapping)


def rotate_key(
    connection: Connection,
    old: ApiKey,
    key: ApiKey,
    expires_at: int,
    event: AuditEvent,
) -> CredentialSnapshot:
    """Replaces `old` by `key`. `old` expires at `expires_at` (unix ms) or earlier. Raises Conflict if `old` is
    revoked.
    """
    now = get_key(connection, old.tenant, old.id)
    if now is None or now.revoked is not None:
        raise Conflict(f"the key {old.id!r} is revoked", "create a new one: sizewise keys create")
    mine = (KEYS.c.tenant == old.tenant) & (KEYS.c.id == old.id)
    later = KEYS.c.expires.is_(None) | (KEYS.c.expires > expires_at)
    connection.execute(update(KEYS).where(mine, later).values(expires=expires_at))
    return add_key(connection, key, event)


def list_keys(connection: Connection, tenant: str | None = None) -> list[ApiKey]:
    """All keys of a tenant (None: of all), including revoked and expired ones, oldest first."""
    query = select(KEYS).order_by(KEYS.c.created, KEYS.c.id)
    if tenant is not None:
        query = query.where(KEYS.c.tenant == tenant)
    return [_key(row._mapping) for row in connection.execute(query)]


def read_version(connection: Connection) -> int:
    """Increases with every change of a key, a user or a session."""
    return connection.scalar(select(VERSIONS.c.version)) or 0


def read_snapshot(connection: Connection) -> CredentialSnapshot:
    return CredentialSnapshot(
        read_version(connection),
        list_keys(connection),
        user_tables.read_user_snapshot(connection, time.time_ns() // 1_000_000),
    )


def _key(row: Mapping[Any, Any]) -> ApiKey:
    scope = None if row["scope"] is None else msgspec.json.decode(row["scope"], type=KeyScope)
    may, wide = frozenset(row["may"].split()), bool(row["wide"])
    return ApiKey(**{**row, "may": may, "wide": wide, "scope": scope})


def with_audit_event(change: UnitOfWork[object], event: AuditEvent) -> UnitOfWork[CredentialSnapshot]:
    """A change and its audit event in one transaction."""

    def work(connection: Connection) -> CredentialSnapshot:
        change(connection)
        audit.append_event(connection, event)
        return bump_version(connection)

    return work


def bump_version(connection: Connection) -> CredentialSnapshot:
    """Increments the version, so that servers that cache keys and users reload them."""
    upsert(connection, VERSIONS, {"tenant": VERSION_TENANT}, {"version": 1}, {"version": VERSIONS.c.version + 1})
    return read_snapshot(connection)
