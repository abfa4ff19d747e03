"""The table of pinned MCP tools: server, name and fingerprint; it does not hold their descriptions."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, MetaData, Table, Text, select
from sqlalchemy.schema import CreateTable

from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_absent

META = MetaData()

MCP_TOOLS = Table(
    "mcp_tools",
    META,
    Column("tenant", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("mark", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
)

SCHEMA = Migrations("tools", ((CreateTable(MCP_TOOLS),),))


def pinned(connection: Connection, tenant: str, server: str) -> dict[str, str]:
    """Name -> fingerprint."""
    its = MCP_TOOLS.c
    mine = (its.tenant == tenant) & (its.server == server)
    return {row.name: row.mark for row in connection.execute(select(its.name, its.mark).where(mine))}


def add(connection: Connection, tenant: str, server: str, fingerprints: Mapping[str, str], now: int) -> None:
    """Inserts the names that have no fingerprint yet; existing ones are unchanged."""
    where = {"tenant": tenant, "server": server, "created": now}
    insert_absent(connection, MCP_TOOLS, [{"name": name, "mark": mark, **where} for name, mark in fingerprints.items()])
