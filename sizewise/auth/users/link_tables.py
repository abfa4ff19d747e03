"""Table and queries of sign-in links: one-time tokens, stored as digests; knows no user."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from sizewise.storage.migrations import BIG_INTEGER

SIGN_IN_LINKS = Table(
    "sign_in_links",
    MetaData(),
    Column("digest", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),
    Column("expires", BIG_INTEGER, nullable=False),
    Column("used", BIG_INTEGER),
)
MIGRATION: tuple[ExecutableDDLElement, ...] = (CreateTable(SIGN_IN_LINKS),)


class SignInLink(Struct, frozen=True):
    """`digest`: SHA-256 of its token in hex. Times are unix ms."""

    digest: str
    tenant: str
    created: int
    expires: int
    used: int | None = None


def add_link(connection: Connection, link: SignInLink) -> None:
    row = {name: getattr(link, name) for name in link.__struct_fields__}
    connection.execute(insert(SIGN_IN_LINKS).values(row))


def get_link(connection: Connection, digest: str) -> SignInLink | None:
    row = connection.execute(select(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.digest == digest)).first()
    return None if row is None else SignInLink(*row)


def use_link(connection: Connection, digest: str, now: int) -> bool:
    """Marks the link as used. False if it was used or has expired; of two that try at once, one gets True."""
    its = SIGN_IN_LINKS.c
    open = (its.digest == digest) & its.used.is_(None) & (its.expires > now)
    return bool(connection.execute(update(SIGN_IN_LINKS).where(open).values(used=now)).rowcount)


def delete_expired_links(connection: Connection, before: int) -> None:
    """Deletes links that expired before `before` (unix ms)."""
    connection.execute(delete(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.expires < before))
