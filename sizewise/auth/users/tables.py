"""Tables and queries for organizations, users, memberships, invitations and sessions; secrets are digests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, MetaData, Table, Text, delete, func, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement
from sqlalchemy.sql.elements import ColumnElement

from sizewise.auth.users import factor_tables
from sizewise.storage.database import migration_statement, overwriting_deleted
from sizewise.storage.migrations import BIG_INTEGER

META = MetaData()
Transaction = Connection
"""Name of a connection for callers that write no SQL."""


def _text(name: str, **more: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, **more)


def _time(name: str, *, known: bool = True) -> Column[Any]:
    return Column(name, BIG_INTEGER, nullable=not known)


ORGANIZATIONS = Table("organisations", META, _text("tenant", primary_key=True), _text("name"), _time("created"))
USERS = Table(
    "users",
    META,
    _text("id", primary_key=True),
    _text("tenant"),
    _text("email"),
    _text("name"),
    _text("role"),
    _text("password"),  # PHC; empty: none
    Column("issuer", Text),  # with `subject`: the linked OpenID Connect identity
    Column("subject", Text),
    _time("created"),
    _time("disabled", known=False),
)
MEMBERSHIPS = Table(
    "memberships",
    META,
    _text("tenant", primary_key=True),
    _text("user", primary_key=True),
    _text("project", primary_key=True),
    _text("role"),
)
INVITATIONS = Table(
    "invitations",
    META,
    _text("id", primary_key=True),
    _text("tenant"),
    _text("digest"),
    _text("email"),
    _text("role"),
    _text("project"),  # empty: the role is in the organization
    _text("by"),
    _time("created"),
    _time("expires"),
    _time("used", known=False),
)


def _first_session_columns() -> list[Column[Any]]:
    """The columns of the migration that created the table."""
    return [
        _text("id", primary_key=True),
        _text("tenant"),
        _text("user"),
        _text("digest"),
        _text("project"),
        _time("created"),
        _time("seen"),
        _time("expires"),
        _time("revoked", known=False),
    ]


SESSIONS = Table(
    "sessions",
    META,
    *_first_session_columns(),
    _text("method", server_default=""),
    _text("factor", server_default=""),
    _text("device", server_default=""),
    _text("network", server_default=""),
    _text("issuer", server_default=""),
    _text("issuer_session", server_default=""),
)
_BY = (
    Index("users_email", USERS.c.email, unique=True),
    Index("users_subject", USERS.c.issuer, USERS.c.subject, unique=True),
    Index("invitations_digest", INVITATIONS.c.digest, unique=True),
    Index("sessions_digest", SESSIONS.c.digest, unique=True),
)
MIGRATION: tuple[ExecutableDDLElement, ...] = (
    *(CreateTable(table) for table in (ORGANIZATIONS, USERS, MEMBERSHIPS, INVITATIONS)),
    CreateTable(Table("sessions", MetaData(), *_first_session_columns())),
    *(CreateIndex(index) for index in _BY),
    migration_statement("INSERT INTO organisations (tenant, name, created) VALUES ('local', 'local', 0)"),
)
SESSION_ORIGIN_MIGRATION: tuple[ExecutableDDLElement, ...] = tuple(
    migration_statement(f"ALTER TABLE sessions ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    for name in ("method", "factor", "device", "network", "issuer", "issuer_session")
)


class Organization(Struct, frozen=True):
    tenant: str
    name: str
    created: int  # unix ms, like all times here


class User(Struct, frozen=True):
    """`role` is in the organization; empty: only in projects. `email` is in lower case and unique."""

    id: str
    tenant: str
    email: str
    name: str
    role: str
    password: str
    issuer: str | None
    subject: str | None
    created: int
    disabled: int | None = None


class Membership(Struct, frozen=True):
    tenant: str
    user: str
    project: str
    role: str


class Invitation(Struct, frozen=True):
    """`digest`: SHA-256 of its token in hex. `by`: id of the inviting user or key. Empty `role`: a password reset."""

    id: str
    tenant: str
    digest: str
    email: str
    role: str
    project: str
    by: str
    created: int
    expires: int
    used: int | None = None


class Session(Struct, frozen=True):
    """`digest`: SHA-256 of its token in hex. `seen`: last use, stored periodically.

    `method`: password, invitation, link or oidc:NAME; empty for old sessions. `factor`: the second one, totp, recovery
    or link. `device`: browser and system family; `network`: prefix of the address. `issuer` and `issuer_session`: of
    the identity provider, which may end the session.
    """

    id: str
    tenant: str
    user: str
    digest: str
    project: str
    created: int
    seen: int
    expires: int
    revoked: int | None = None
    method: str = ""
    factor: str = ""
    device: str = ""
    network: str = ""
    issuer: str = ""
    issuer_session: str = ""


class UserSnapshot(Struct, frozen=True):
    """All users and memberships of all tenants, and the sessions that are neither revoked nor expired."""

    users: tuple[User, ...] = ()
    memberships: tuple[Membership, ...] = ()
    sessions: tuple[Session, ...] = ()
    enrolled: Mapping[str, int] = MappingProxyType({})  # user id -> since when it has a second factor


def read_user_snapshot(connection: Connection, now: int) -> UserSnapshot:
    live = SESSIONS.c.revoked.is_(None) & (SESSIONS.c.expires > now)
    return UserSnapshot(
        tuple(User(*row) for row in connection.execute(select(USERS).order_by(USERS.c.created, USERS.c.id))),
        tuple(Membership(*row) for row in connection.execute(select(MEMBERSHIPS))),
        tuple(Session(*row) for row in connection.execute(select(SESSIONS).where(live))),
        factor_tables.read_enrolled(connection),
    )


def read_users(connection: Connection, ids: list[str]) -> UserSnapshot:
    """Users with these ids and their memberships; no sessions."""
    users = connection.execute(select(USERS).where(USERS.c.id.in_(ids)))
    members = connection.execute(select(MEMBERSHIPS).where(MEMBERSHIPS.c.user.in_(ids)))
    return UserSnapshot(tuple(User(*row) for row in users), tuple(Membership(*row) for row in members))


def list_organizations(connection: Connection) -> list[Organization]:
    return [Organization(*row) for row in connection.execute(select(ORGANIZATIONS).order_by(ORGANIZATIONS.c.created))]


def list_invitations(connection: Connection, tenant: str) -> list[Invitation]:
    """Includes used and expired ones, newest first, at most MAX_INVITATIONS."""
    mine = select(INVITATIONS).where(INVITATIONS.c.tenant == tenant).order_by(INVITATIONS.c.created.desc())
    return [Invitation(*row) for row in connection.execute(mine.limit(MAX_INVITATIONS))]


MAX_INVITATIONS = 1_000


def get_invitation(connection: Connection, digest: str) -> Invitation | None:
    row = connection.execute(select(INVITATIONS).where(INVITATIONS.c.digest == digest)).first()
    return None if row is None else Invitation(*row)


def get_open_invitation(connection: Connection, tenant: str, email: str, now: int) -> Invitation | None:
    """The newest open invitation of this address."""
    its = INVITATIONS.c
    mine = (its.tenant == tenant) & (its.email == email) & its.used.is_(None) & (its.expires > now)
    row = connection.execute(select(INVITATIONS).where(mine).order_by(its.created.desc()).limit(1)).first()
    return None if row is None else Invitation(*row)


def get_user_by_email(connection: Connection, email: str) -> User | None:
    """Locked until the transaction ends, so that what is written back undoes no change by another server."""
    row = connection.execute(select(USERS).where(USERS.c.email == email).with_for_update()).first()
    return None if row is None else User(*row)


def get_role(connection: Connection, user: str, tenant: str, project: str = "") -> str:
    """Role of a user in the organization, or in `project`; empty if there is none."""
    mine = (USERS.c.id == user) & (USERS.c.tenant == tenant)
    query = select(USERS.c.role).where(mine)
    if project:
        member = (MEMBERSHIPS.c.tenant == tenant) & (MEMBERSHIPS.c.user == user) & (MEMBERSHIPS.c.project == project)
        query = select(MEMBERSHIPS.c.role).where(member)
    return connection.scalar(query) or ""


def add_organization(connection: Connection, organization: Organization) -> None:
    """Raises Conflict (from the transaction) if the tenant exists."""
    connection.execute(insert(ORGANIZATIONS).values(_row(organization)))


def add_invitation(connection: Connection, invitation: Invitation) -> None:
    connection.execute(insert(INVITATIONS).values(_row(invitation)))


def close_invitations(connection: Connection, tenant: str, email: str, now: int) -> None:
    """Marks all open invitations for this address as used."""
    its = INVITATIONS.c
    open = (its.tenant == tenant) & (its.email == email) & its.used.is_(None)
    connection.execute(update(INVITATIONS).where(open).values(used=now))


def withdraw_invitation(connection: Connection, tenant: str, id: str, now: int) -> None:
    mine = (INVITATIONS.c.tenant == tenant) & (INVITATIONS.c.id == id) & INVITATIONS.c.used.is_(None)
    connection.execute(update(INVITATIONS).where(mine).values(used=now))


def withdraw_invitations_by(connection: Connection, tenant: str, inviter: str, now: int) -> None:
    """Marks all open invitations from this inviter as used."""
    mine = (INVITATIONS.c.tenant == tenant) & (INVITATIONS.c.by == inviter) & INVITATIONS.c.used.is_(None)
    connection.execute(update(INVITATIONS).where(mine).values(used=now))


def list_owner_ids(connection: Connection, tenant: str) -> list[str]:
    """Ids of owners that are not disabled."""
    mine = (USERS.c.tenant == tenant) & (USERS.c.role == "owner") & USERS.c.disabled.is_(None)
    return list(connection.scalars(select(USERS.c.id).where(mine)))


def set_role(connection: Connection, id: str, role: str) -> None:
    connection.execute(update(USERS).where(USERS.c.id == id).values(role=role))


def set_password_hash(connection: Connection, id: str, phc_hash: str) -> None:
    connection.execute(update(USERS).where(USERS.c.id == id).values(password=phc_hash))


def set_disabled(connection: Connection, id: str, disabled_at: int | None) -> None:
    """`disabled_at`: unix ms; None enables."""
    connection.execute(update(USERS).where(USERS.c.id == id).values(disabled=disabled_at))


def upsert_user(connection: Connection, user: User) -> None:
    """Raises Conflict (from the transaction) if another user has the address."""
    row = _row(user)
    if not connection.execute(update(USERS).where(USERS.c.id == user.id).values(row)).rowcount:
        connection.execute(insert(USERS).values(row))


def upsert_membership(connection: Connection, membership: Membership) -> None:
    """An empty role deletes the membership."""
    its = MEMBERSHIPS.c
    mine = (its.tenant == membership.tenant) & (its.user == membership.user) & (its.project == membership.project)
    connection.execute(delete(MEMBERSHIPS).where(mine))
    if membership.role:
        connection.execute(insert(MEMBERSHIPS).values(_row(membership)))


def can_sign_in(connection: Connection, user: User) -> bool:
    """Whether the user is enabled and has this password still. Until the transaction ends, neither changes."""
    its = USERS.c
    same = (its.id == user.id) & (its.password == user.password) & its.disabled.is_(None)
    return connection.scalar(select(its.id).where(same).with_for_update(read=True)) is not None


def add_session(connection: Connection, session: Session) -> None:
    connection.execute(insert(SESSIONS).values(_row(session)))


def move_session(connection: Connection, id: str, project: str, now: int) -> bool:
    """Moves a session to `project`. False if it has ended."""
    its = SESSIONS.c
    live = (its.id == id) & its.revoked.is_(None) & (its.expires > now)
    return bool(connection.execute(update(SESSIONS).where(live).values(project=project)).rowcount)


def revoke_session(connection: Connection, id: str, now: int) -> None:
    mine = (SESSIONS.c.id == id) & SESSIONS.c.revoked.is_(None)
    connection.execute(update(SESSIONS).where(mine).values(revoked=now))


def update_last_used(connection: Connection, last_used: dict[str, int]) -> None:
    """`last_used`: session id -> unix ms."""
    for id, at in last_used.items():
        connection.execute(update(SESSIONS).where(SESSIONS.c.id == id).values(seen=at))


def revoke_sessions(connection: Connection, tenant: str, user: str, now: int) -> None:
    mine = (SESSIONS.c.tenant == tenant) & (SESSIONS.c.user == user) & SESSIONS.c.revoked.is_(None)
    connection.execute(update(SESSIONS).where(mine).values(revoked=now))


def revoke_oldest_sessions(connection: Connection, tenant: str, user: str, now: int, keep: int) -> None:
    """Revokes all valid sessions of a user except the `keep` newest."""
    its = SESSIONS.c
    mine = (its.tenant == tenant) & (its.user == user) & its.revoked.is_(None) & (its.expires > now)
    ids = list(connection.scalars(select(its.id).where(mine).order_by(its.created.desc(), its.id)))[keep:]
    connection.execute(update(SESSIONS).where(its.id.in_(ids)).values(revoked=now))


def session_ids(connection: Connection, tenant: str, user: str) -> list[str]:
    """Of all sessions of a user that are stored, also those that ended."""
    return list(connection.scalars(select(SESSIONS.c.id).where(SESSIONS.c.tenant == tenant, SESSIONS.c.user == user)))


def session_users(connection: Connection, tenant: str) -> dict[str, str]:
    """The user's id of each session that is stored, also of those that ended."""
    its = SESSIONS.c
    return {row.id: row.user for row in connection.execute(select(its.id, its.user).where(its.tenant == tenant))}


def count_account(connection: Connection, user: User) -> dict[str, int]:
    """Rows of a user's account, by what people call them."""
    counted = {
        label: connection.scalar(select(func.count()).select_from(table).where(mine)) or 0
        for label, table, mine in _account(user)
    }
    return {**counted, SECOND_FACTOR: factor_tables.count_account(connection, user.id)}


def delete_account(connection: Connection, user: User) -> dict[str, int]:
    """Deletes and overwrites them, and counts them as `count_account`."""
    with overwriting_deleted(connection):
        gone = {label: connection.execute(delete(table).where(mine)).rowcount for label, table, mine in _account(user)}
    return {**gone, SECOND_FACTOR: factor_tables.delete_factor(connection, user.id)}


SECOND_FACTOR = "second factor with its recovery codes"


def _account(user: User) -> list[tuple[str, Table, ColumnElement[bool]]]:
    member, signed_in, invited = MEMBERSHIPS.c, SESSIONS.c, INVITATIONS.c
    return [
        ("roles in projects", MEMBERSHIPS, (member.tenant == user.tenant) & (member.user == user.id)),
        ("sessions", SESSIONS, (signed_in.tenant == user.tenant) & (signed_in.user == user.id)),
        ("invitations", INVITATIONS, (invited.tenant == user.tenant) & (invited.email == user.email)),
        ("account with its e-mail address", USERS, (USERS.c.tenant == user.tenant) & (USERS.c.id == user.id)),
    ]


def last_sign_ins(connection: Connection, tenant: str) -> dict[str, int]:
    """When the newest stored session of each method began, in unix ms."""
    its = SESSIONS.c
    query = select(its.method, func.max(its.created)).where(its.tenant == tenant).group_by(its.method)
    return dict(connection.execute(query).tuples().all())


def delete_expired(connection: Connection, sessions_before: int, invitations_before: int) -> None:
    """Deletes sessions and invitations that ended before these times (unix ms)."""
    its = SESSIONS.c
    connection.execute(delete(SESSIONS).where((its.expires < sessions_before) | (its.revoked < sessions_before)))
    connection.execute(delete(INVITATIONS).where(INVITATIONS.c.expires < invitations_before))


def _row(record: Struct) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
