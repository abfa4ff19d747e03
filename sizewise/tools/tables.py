"""The table of tools of MCP servers as they were first seen: server, name and mark, no word of their descriptions."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, select
from sqlalchemy.schema import CreateTable

from sizewise.storage.database import BIG, Schema

META = MetaData()

MCP_TOOLS = Table(
    "mcp_tools",
    META,
    Column("tenant", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("mark", Text, nullable=False),
    Column("created", BIG, nullable=False),  # unix ms
)

SCHEMA = Schema("tools", ((CreateTable(MCP_TOOLS),),))


def known(connection: Connection, tenant: str, server: str) -> dict[str, str]:
    """Name -> mark."""
    its = MCP_TOOLS.c
    mine = (its.tenant == tenant) & (its.server == server)
    return {row.name: row.mark for row in connection.execute(select(its.name, its.mark).where(mine))}


def add(connection: Connection, tenant: str, server: str, marks: Mapping[str, str], now: int) -> None:
    """What is there already stays as it is."""
    there = known(connection, tenant, server)
    rows = [
        {"tenant": tenant, "server": server, "name": name, "mark": mark, "created": now}
        for name, mark in marks.items()
        if name not in there
    ]
    if rows:
        connection.execute(insert(MCP_TOOLS), rows)
