"""Table of logout tokens that were accepted, so that each counts once; and the sessions that a provider ends."""

from __future__ import annotations

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from sizewise.auth.users.tables import SESSIONS
from sizewise.storage.migrations import BIG_INTEGER

LOGOUT_TOKENS = Table(
    "oidc_logout_tokens",
    MetaData(),
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("expires", BIG_INTEGER, nullable=False),  # unix ms
)
MIGRATION: tuple[ExecutableDDLElement, ...] = (CreateTable(LOGOUT_TOKENS),)


def add_logout_token(connection: Connection, tenant: str, issuer: str, jti: str, expires: int) -> bool:
    """False if it was accepted before. Of two at once, the transaction of one raises Conflict."""
    its = LOGOUT_TOKENS.c
    mine = (its.issuer == issuer) & (its.jti == jti)
    if connection.execute(select(its.jti).where(mine)).first() is not None:
        return False
    connection.execute(insert(LOGOUT_TOKENS).values(tenant=tenant, issuer=issuer, jti=jti, expires=expires))
    return True


def delete_expired_logout_tokens(connection: Connection, before: int) -> None:
    """Deletes those that expired before `before` (unix ms): the token itself is refused then."""
    connection.execute(delete(LOGOUT_TOKENS).where(LOGOUT_TOKENS.c.expires < before))


def end_provider_sessions(
    connection: Connection, tenant: str, issuer: str, now: int, user: str, session: str
) -> list[str]:
    """Ends the sessions of `user` (empty: of anyone), those of the provider's `session` alone if it is given. Returns
    their ids.

    A session that began without the provider naming its own is ended by the user.
    """
    its = SESSIONS.c
    mine = (its.tenant == tenant) & its.revoked.is_(None)
    if session:
        named = (its.issuer == issuer) & (its.issuer_session == session)
        mine &= (named | (its.issuer_session == "")) & (its.user == user) if user else named
    else:
        mine &= its.user == user
    ids = list(connection.scalars(select(its.id).where(mine)))
    connection.execute(update(SESSIONS).where(its.id.in_(ids)).values(revoked=now))
    return ids
