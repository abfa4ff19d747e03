"""Rows of generations: the indexes of one base, each by another embedding model; knows no vector store.

A base whose model never changed has no row here. The others have one for each generation, the current one
included: that of `knowledge_bases.model`.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, delete, func, insert, select, update

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.knowledge.tables import BASES, GENERATIONS, PASSAGES, in_base


class Generation(Struct, frozen=True):
    """`built`: passages with ids up to it are embedded; None: all are. `ready`: all were, so it can answer."""

    label: str
    model: str
    dimension: int
    built: str | None = None
    ready: bool = True
    started_by: str = ""


def generations(connection: Connection, tenant: str, project: str, name: str) -> list[Generation]:
    """Oldest first."""
    its = GENERATIONS.c
    names = [its[each] for each in Generation.__struct_fields__]
    query = select(*names).where(in_base(GENERATIONS, tenant, project, name)).order_by(its.number)
    return [
        Generation(
            label=row.label,
            model=row.model,
            dimension=row.dimension,
            built=row.built,
            ready=bool(row.ready),
            started_by=row.started_by,
        )
        for row in connection.execute(query)
    ]


def bases_with_generations(connection: Connection) -> list[tuple[str, str, str]]:
    """(tenant, project, name) of bases of all organizations with more than one."""
    its = GENERATIONS.c
    where = its.tenant, its.project, its.base
    found = connection.execute(select(*where).group_by(*where).having(func.count() > 1))
    return [(row[0], row[1], row[2]) for row in found]


def bases_to_build(connection: Connection) -> list[tuple[str, str, str]]:
    """Those with a generation that lacks passages."""
    its = GENERATIONS.c
    query = select(its.tenant, its.project, its.base).where(its.built.is_not(None)).distinct()
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def begin_generation(
    connection: Connection, tenant: str, project: str, name: str, started: Generation, now: int, audit_event: AuditEvent
) -> None:
    """Unless one of this model has begun. `now`: unix ms."""
    found = {each.model for each in generations(connection, tenant, project, name)}
    row = connection.execute(
        select(BASES.c.model, BASES.c.dimension).where(in_base(BASES, tenant, project, name))
    ).one_or_none()
    if started.model in found or row is None:
        return
    fresh = [started] if found else [Generation("", row.model, row.dimension), started]
    for each in fresh:
        values = {field: getattr(each, field) for field in Generation.__struct_fields__}
        where = {"tenant": tenant, "project": project, "base": name}
        connection.execute(insert(GENERATIONS).values(**values | where | {"ready": int(each.ready), "created": now}))
    audit.append_event(connection, audit_event)


def set_dimension(connection: Connection, tenant: str, project: str, name: str, model: str, dimension: int) -> None:
    its = in_base(GENERATIONS, tenant, project, name)
    connection.execute(update(GENERATIONS).where(its, GENERATIONS.c.model == model).values(dimension=dimension))
    base = in_base(BASES, tenant, project, name)
    connection.execute(update(BASES).where(base, BASES.c.model == model).values(dimension=dimension))


def set_built(connection: Connection, tenant: str, project: str, name: str, model: str, built: str) -> None:
    its = in_base(GENERATIONS, tenant, project, name)
    connection.execute(update(GENERATIONS).where(its, GENERATIONS.c.model == model).values(built=built))


def complete_generation(connection: Connection, tenant: str, project: str, name: str, model: str) -> None:
    its = in_base(GENERATIONS, tenant, project, name)
    connection.execute(update(GENERATIONS).where(its, GENERATIONS.c.model == model).values(built=None, ready=1))


def make_current(connection: Connection, tenant: str, project: str, name: str, model: str) -> None:
    """If it is ready."""
    its = in_base(GENERATIONS, tenant, project, name)
    ready = select(GENERATIONS.c.dimension).where(its, GENERATIONS.c.model == model, GENERATIONS.c.ready == 1)
    dimension = connection.scalar(ready)
    if dimension is not None:
        base = in_base(BASES, tenant, project, name)
        connection.execute(update(BASES).where(base).values(model=model, dimension=dimension))


def drop_generation(connection: Connection, tenant: str, project: str, name: str, model: str) -> None:
    its = in_base(GENERATIONS, tenant, project, name)
    connection.execute(delete(GENERATIONS).where(its, GENERATIONS.c.model == model))


def count_ready_after(connection: Connection, tenant: str, project: str, name: str, after: str) -> int:
    """Embedded passages with ids after `after`."""
    mine = in_base(PASSAGES, tenant, project, name)
    query = select(func.count()).select_from(PASSAGES).where(mine, PASSAGES.c.state == "ready", PASSAGES.c.id > after)
    return connection.scalar(query) or 0
