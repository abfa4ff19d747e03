"""Knowledge bases that the settings declare: they exist, empty, before a document is added; reads no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sizewise.knowledge.open_stores import MADE_HERE_SETTINGS, settings_of_base
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.settings.knowledge import KnowledgeSettings

LOCAL_TENANT = "local"
"""Whose projects the settings name."""


def declared_bases(
    settings: Mapping[str, KnowledgeSettings], tenant: str, project: str | None
) -> list[KnowledgeBaseId]:
    """By name. `project`: None: of all projects."""
    if tenant != LOCAL_TENANT:
        return []
    return [
        KnowledgeBaseId(tenant, each.project, name)
        for name, each in sorted(settings.items())
        if name != MADE_HERE_SETTINGS and project in (None, each.project)
    ]


def is_declared(settings: Mapping[str, KnowledgeSettings], base: KnowledgeBaseId) -> bool:
    found = settings.get(base.name) if base.name != MADE_HERE_SETTINGS else None
    return found is not None and (base.tenant, base.project) == (LOCAL_TENANT, found.project)


def fill_command(
    settings: Mapping[str, KnowledgeSettings], base: KnowledgeBaseId, files: Sequence[str] = ("FILE...",)
) -> str:
    """Adds its documents: those of its sources, if it is declared with some, else `files`."""
    if is_declared(settings, base) and settings_of_base(settings, base.name).sources:
        return f"sizewise knowledge sync {base.name}"
    return f"sizewise knowledge add {base.name[:64]} {' '.join(files)}"


def empty_warning(settings: Mapping[str, KnowledgeSettings], base: KnowledgeBaseId) -> str:
    return f"{base.name!r} has no documents; add some: {fill_command(settings, base)}"
