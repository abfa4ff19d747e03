"""The tables of people: organisations, users, memberships, invitations, sessions; secrets lie there as digests only."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from sizewise.storage.database import BIG, step

META = MetaData()
Transaction = Connection
"""What a change is made in; whoever has one need not know SQL."""


def _text(name: str, **more: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, **more)


def _time(name: str, *, known: bool = True) -> Column[Any]:
    return Column(name, BIG, nullable=not known)


ORGANISATIONS = Table("organisations", META, _text("tenant", primary_key=True), _text("name"), _time("created"))
USERS = Table(
    "users",
    META,
    _text("id", primary_key=True),
    _text("tenant"),
    _text("email"),
    _text("name"),
    _text("role"),
    _text("password"),  # PHC; empty: none
    Column("issuer", Text),  # with `subject`: who it is elsewhere
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
    _text("project"),  # empty: the role is one of the organisation
    _text("by"),
    _time("created"),
    _time("expires"),
    _time("used", known=False),
)
SESSIONS = Table(
    "sessions",
    META,
    _text("id", primary_key=True),
    _text("tenant"),
    _text("user"),
    _text("digest"),
    _text("project"),
    _time("created"),
    _time("seen"),
    _time("expires"),
    _time("revoked", known=False),
)
_BY = (
    Index("users_email", USERS.c.email, unique=True),
    Index("users_subject", USERS.c.issuer, USERS.c.subject, unique=True),
    Index("invitations_digest", INVITATIONS.c.digest, unique=True),
    Index("sessions_digest", SESSIONS.c.digest, unique=True),
)
MIGRATION: tuple[ExecutableDDLElement, ...] = (
    *(CreateTable(table) for table in (ORGANISATIONS, USERS, MEMBERSHIPS, INVITATIONS, SESSIONS)),
    *(CreateIndex(index) for index in _BY),
    step("INSERT INTO organisations (tenant, name, created) VALUES ('local', 'local', 0)"),
)


class Organisation(Struct, frozen=True):
    tenant: str
    name: str
    created: int  # unix ms, as all times here


class User(Struct, frozen=True):
    """`role` is one of the organisation; empty: none but in projects. `email` in small letters, one user's only."""

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
    """`digest`: SHA-256 of its token in hex. `by`: the id of who invites."""

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
    """`digest`: SHA-256 of its token in hex. `project`: the one it works in. `seen` is kept to the minute."""

    id: str
    tenant: str
    user: str
    digest: str
    project: str
    created: int
    seen: int
    expires: int
    revoked: int | None = None


class People(Struct, frozen=True):
    """Everybody, of all tenants, and the sessions that may still be good."""

    users: tuple[User, ...] = ()
    memberships: tuple[Membership, ...] = ()
    sessions: tuple[Session, ...] = ()


def everybody(connection: Connection, now: int) -> People:
    live = SESSIONS.c.revoked.is_(None) & (SESSIONS.c.expires > now)
    return People(
        tuple(User(*row) for row in connection.execute(select(USERS).order_by(USERS.c.created, USERS.c.id))),
        tuple(Membership(*row) for row in connection.execute(select(MEMBERSHIPS))),
        tuple(Session(*row) for row in connection.execute(select(SESSIONS).where(live))),
    )


def some(connection: Connection, ids: list[str]) -> People:
    """Those of these ids, with what they are in projects."""
    users = connection.execute(select(USERS).where(USERS.c.id.in_(ids)))
    members = connection.execute(select(MEMBERSHIPS).where(MEMBERSHIPS.c.user.in_(ids)))
    return People(tuple(User(*row) for row in users), tuple(Membership(*row) for row in members))


def organisations(connection: Connection) -> list[Organisation]:
    return [Organisation(*row) for row in connection.execute(select(ORGANISATIONS).order_by(ORGANISATIONS.c.created))]


def invitations(connection: Connection, tenant: str) -> list[Invitation]:
    """Used and expired ones too, newest first."""
    mine = select(INVITATIONS).where(INVITATIONS.c.tenant == tenant).order_by(INVITATIONS.c.created.desc())
    return [Invitation(*row) for row in connection.execute(mine.limit(MOST))]


MOST = 1_000
"""Invitations in one list."""


def invitation(connection: Connection, digest: str) -> Invitation | None:
    row = connection.execute(select(INVITATIONS).where(INVITATIONS.c.digest == digest)).first()
    return None if row is None else Invitation(*row)


def invited(connection: Connection, tenant: str, email: str, now: int) -> Invitation | None:
    """The newest open invitation of this address."""
    its = INVITATIONS.c
    mine = (its.tenant == tenant) & (its.email == email) & its.used.is_(None) & (its.expires > now)
    row = connection.execute(select(INVITATIONS).where(mine).order_by(its.created.desc()).limit(1)).first()
    return None if row is None else Invitation(*row)


def user(connection: Connection, email: str) -> User | None:
    row = connection.execute(select(USERS).where(USERS.c.email == email)).first()
    return None if row is None else User(*row)


def role(connection: Connection, user: str, tenant: str, project: str = "") -> str:
    """What somebody is in the organisation, or in one of its projects; empty: nothing."""
    mine = (USERS.c.id == user) & (USERS.c.tenant == tenant)
    query = select(USERS.c.role).where(mine)
    if project:
        member = (MEMBERSHIPS.c.tenant == tenant) & (MEMBERSHIPS.c.user == user) & (MEMBERSHIPS.c.project == project)
        query = select(MEMBERSHIPS.c.role).where(member)
    return connection.scalar(query) or ""


def found(connection: Connection, made: Organisation) -> None:
    """Raises Conflict (at the transaction's edge) where the tenant is known."""
    connection.execute(insert(ORGANISATIONS).values(_row(made)))


def invite(connection: Connection, made: Invitation) -> None:
    connection.execute(insert(INVITATIONS).values(_row(made)))


def use_up(connection: Connection, tenant: str, email: str, now: int) -> None:
    """No invitation of this address is open any more."""
    its = INVITATIONS.c
    open = (its.tenant == tenant) & (its.email == email) & its.used.is_(None)
    connection.execute(update(INVITATIONS).where(open).values(used=now))


def withdraw(connection: Connection, tenant: str, id: str, now: int) -> None:
    mine = (INVITATIONS.c.tenant == tenant) & (INVITATIONS.c.id == id) & INVITATIONS.c.used.is_(None)
    connection.execute(update(INVITATIONS).where(mine).values(used=now))


def withdraw_by(connection: Connection, tenant: str, by: str, now: int) -> None:
    """Nobody comes in any more by an invitation of somebody who has another role now."""
    mine = (INVITATIONS.c.tenant == tenant) & (INVITATIONS.c.by == by) & INVITATIONS.c.used.is_(None)
    connection.execute(update(INVITATIONS).where(mine).values(used=now))


def owners(connection: Connection, tenant: str) -> list[str]:
    """Ids of those who are owners now."""
    mine = (USERS.c.tenant == tenant) & (USERS.c.role == "owner") & USERS.c.disabled.is_(None)
    return list(connection.scalars(select(USERS.c.id).where(mine)))


def put_role(connection: Connection, id: str, role: str) -> None:
    connection.execute(update(USERS).where(USERS.c.id == id).values(role=role))


def put_password(connection: Connection, id: str, phc: str) -> None:
    connection.execute(update(USERS).where(USERS.c.id == id).values(password=phc))


def able(connection: Connection, id: str, disabled: int | None) -> None:
    """`disabled`: since when (unix ms); None: not any more."""
    connection.execute(update(USERS).where(USERS.c.id == id).values(disabled=disabled))


def put_user(connection: Connection, made: User) -> None:
    """New, or in the place of what stood there. Raises Conflict (at the edge) where somebody else has the address."""
    row = _row(made)
    if not connection.execute(update(USERS).where(USERS.c.id == made.id).values(row)).rowcount:
        connection.execute(insert(USERS).values(row))


def put_membership(connection: Connection, made: Membership) -> None:
    """An empty role ends it."""
    its = MEMBERSHIPS.c
    mine = (its.tenant == made.tenant) & (its.user == made.user) & (its.project == made.project)
    connection.execute(delete(MEMBERSHIPS).where(mine))
    if made.role:
        connection.execute(insert(MEMBERSHIPS).values(_row(made)))


def put_session(connection: Connection, made: Session) -> None:
    row = _row(made)
    if not connection.execute(update(SESSIONS).where(SESSIONS.c.id == made.id).values(row)).rowcount:
        connection.execute(insert(SESSIONS).values(row))


def saw(connection: Connection, seen: dict[str, int]) -> None:
    """When each of these sessions was last used (unix ms)."""
    for id, at in seen.items():
        connection.execute(update(SESSIONS).where(SESSIONS.c.id == id).values(seen=at))


def end_sessions(connection: Connection, tenant: str, user: str, now: int) -> None:
    mine = (SESSIONS.c.tenant == tenant) & (SESSIONS.c.user == user) & SESSIONS.c.revoked.is_(None)
    connection.execute(update(SESSIONS).where(mine).values(revoked=now))


def end_oldest(connection: Connection, tenant: str, user: str, now: int, keep: int) -> None:
    """All sessions of a user but the newest."""
    its = SESSIONS.c
    mine = (its.tenant == tenant) & (its.user == user) & its.revoked.is_(None) & (its.expires > now)
    ids = list(connection.scalars(select(its.id).where(mine).order_by(its.created.desc(), its.id)))[keep:]
    connection.execute(update(SESSIONS).where(its.id.in_(ids)).values(revoked=now))


def forget(connection: Connection, before: int) -> None:
    """Sessions that ended, and invitations that ran out, before unix ms."""
    connection.execute(delete(SESSIONS).where((SESSIONS.c.expires < before) | (SESSIONS.c.revoked < before)))
    connection.execute(delete(INVITATIONS).where(INVITATIONS.c.expires < before))


def _row(made: Struct) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__struct_fields__}
