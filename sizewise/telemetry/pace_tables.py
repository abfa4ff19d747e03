"""The table of measured paces: one row for each model and machine, with its figures as JSON; does not read them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, inspect, select
from sqlalchemy.schema import CreateTable

from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import upsert

META = MetaData()

PACES = Table(
    "model_paces",
    META,
    Column("tenant", Text, primary_key=True),
    Column("machine", Text, primary_key=True),  # a pace is one machine's; empty: the one that has the database's file
    Column("model", Text, primary_key=True),
    Column("figures", Text, nullable=False),  # JSON
    Column("updated", BIG_INTEGER, nullable=False),  # unix ms
)
TENANT = "*"
"""Paces are of all organizations: they contain no prompt, key or count of one."""

SCHEMA = Migrations("model_paces", ((CreateTable(PACES),),))


def list_paces(connection: Connection, machine: str, since: int) -> dict[str, str]:
    """Figures by model, of one machine, that were updated at `since` (unix ms) or later; none without the table."""
    if not inspect(connection).has_table(PACES.name):
        return {}
    its = PACES.c
    recent = (its.tenant == TENANT) & (its.machine == machine) & (its.updated >= since)
    return {row.model: row.figures for row in connection.execute(select(its.model, its.figures).where(recent))}


def store_paces(connection: Connection, machine: str, figures: Mapping[str, str], now: int, since: int) -> None:
    """Replaces the rows of these models, and deletes those of any machine that are older than `since` (unix ms)."""
    its = PACES.c
    connection.execute(delete(PACES).where(its.updated < since))
    for model, text in figures.items():
        key = {"tenant": TENANT, "machine": machine, "model": model}
        upsert(connection, PACES, key, {"figures": text, "updated": now})
