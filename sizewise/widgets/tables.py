"""Table of widgets: what each may ask, where it may stand, its texts and limits; its key is in the table of keys."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Connection, Index, MetaData, Table, Text, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth.tables import KEYS
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
WIDGETS = Table(
    "widgets",
    META,
    Column("id", Text, primary_key=True),  # in addresses of pages: not secret
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),  # whose text nobody has
    Column("target", Text, nullable=False),  # auto:POLICY or flow:NAME
    Column("settings", Text, nullable=False),  # JSON of WidgetSettings
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
)
BY_NAME = Index("widgets_name", WIDGETS.c.tenant, WIDGETS.c.project, WIDGETS.c.name, unique=True)
SCHEMA = Migrations("widgets", ((CreateTable(WIDGETS), CreateIndex(BY_NAME)),))


class WidgetSettings(Struct, frozen=True):
    """`origins`: of pages that may hold it; none: nowhere. `page`: it may also be opened by itself. Limits count
    messages; `per_minute` and `per_hour` those of one address. `note`: says that a model answers.
    """

    origins: tuple[str, ...] = ()
    page: bool = False
    title: str = "Ask us"
    greeting: str = "How can we help?"
    note: str = "Answers are written by an AI model and can be wrong."
    per_conversation: int = 20
    per_minute: int = 6
    per_hour: int = 60
    open_answers: int = 4
    characters: int = 2_000


class Widget(Struct, frozen=True):
    """A row of WIDGETS with its key: `digest` in hex, and `revoked` in unix ms if it is stopped."""

    id: str
    tenant: str
    project: str
    name: str
    key: str
    target: str
    settings: WidgetSettings
    created: int
    by: str
    digest: str = ""
    revoked: int | None = None


def insert_widget(connection: Connection, widget: Widget, event: AuditEvent) -> None:
    row = {each.name: getattr(widget, each.name) for each in WIDGETS.c if each.name != "settings"}
    connection.execute(insert(WIDGETS).values(**row, settings=msgspec.json.encode(widget.settings).decode()))
    audit.append_event(connection, event)


def set_settings(connection: Connection, id: str, settings: WidgetSettings, event: AuditEvent) -> None:
    text = msgspec.json.encode(settings).decode()
    connection.execute(update(WIDGETS).where(WIDGETS.c.id == id).values(settings=text))
    audit.append_event(connection, event)


def find_widget(connection: Connection, id: str) -> Widget | None:
    found = _read(connection, WIDGETS.c.id == id)
    return found[0] if found else None


def list_widgets(connection: Connection, tenant: str, project: str) -> list[Widget]:
    """Stopped ones included, by name."""
    return _read(connection, (WIDGETS.c.tenant == tenant) & (WIDGETS.c.project == project))


def _read(connection: Connection, where: ColumnElement[bool]) -> list[Widget]:
    keyed = WIDGETS.join(KEYS, KEYS.c.id == WIDGETS.c.key)
    columns = select(*WIDGETS.c, KEYS.c.digest, KEYS.c.revoked).select_from(keyed)
    rows = connection.execute(columns.where(where).order_by(WIDGETS.c.name)).mappings()
    return [Widget(**{**row, "settings": msgspec.json.decode(row["settings"], type=WidgetSettings)}) for row in rows]
