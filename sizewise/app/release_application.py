"""Builds the application of a release: the server's own settings, with the release's tables, prompts and flows.

What lives as long as the process is shared with the live application, and so are its connections to models, unless the
release describes models otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from sizewise.app.application import Application, build_application
from sizewise.app.resources import ReleaseParts
from sizewise.errors import ConfigError, ExternalFailure, ModelNotFound
from sizewise.flows.executor import CompiledFlows
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.model_card import ModelCard
from sizewise.prompts.prompt_library import FixedPrompts
from sizewise.releases.manifest import Release, ReleaseRequirements
from sizewise.releases.release_contents import ReleaseFlows, embedding_models, prompts_of, setting_tables
from sizewise.settings.load import Settings, resolve_secret, with_release_tables
from sizewise.settings.setting_texts import setting_texts
from sizewise.settings.validators import is_reference

LoadCards = Callable[[Settings], tuple[ModelCard, ...]]


class MissingRequirement(Struct, frozen=True):
    """What a release needs and this server lacks. `kind`: models, providers, knowledge, tools, hosts, mcp, secrets."""

    kind: str
    name: str
    hint: str


def build_release_application(
    live: Application, release: Release, tenant: str, project: str, load_cards: LoadCards
) -> Application:
    """Raises ConfigError, BadRequest. Changes no resource."""
    with TemporaryDirectory(prefix="sizewise-release-") as name:
        folder = Path(name)
        try:
            tables = setting_tables(release, folder)
        except OSError as error:
            raise ExternalFailure(f"cannot write {name!r}: {error.strerror}", "free space on its disk") from error
        settings = with_release_tables(live.settings, tables, folder)
        cards = load_cards(settings)
        flows = ReleaseFlows(release, live.resources.services.flow_versions, tenant, project)
        parts = ReleaseParts(
            flows=flows,
            compiled=CompiledFlows(flows),
            connected=(live.client, live.connections) if cards == live.cards else None,
            embedding_models=embedding_models(release),
        )
        prompts = FixedPrompts(prompts_of(release), tenant, project)
        return build_application(settings, replace(live.resources, prompts=prompts, release=parts), cards)


async def missing_requirements(
    live: Application, app: Application, requires: ReleaseRequirements, tenant: str, project: str
) -> list[MissingRequirement]:
    """`app`: of the release. Raises StorageError, EncryptionKeyUnavailable."""
    settings = live.settings
    tables: Mapping[str, Mapping[str, object]] = {
        "providers": settings.providers,
        "knowledge": settings.knowledge,
        "hosts": settings.hosts,
        "mcp": settings.mcp,
    }
    found: list[MissingRequirement] = []
    embedded = {card.name.partition("/")[0] for card in app.cards}
    for kind, known in tables.items():
        for name in getattr(requires, kind):
            if name in known:
                found += _missing_secrets(kind, name, known[name])
            elif not (kind == "providers" and name in embedded):
                found.append(MissingRequirement(kind, name, f"add a table [{kind}.{name}] to the settings here"))
    for name in requires.models:
        try:
            app.aliases.find_card(name)
        except ModelNotFound as error:
            found.append(MissingRequirement("models", name, error.hint))
    return found + await _missing_generations(app, tenant, project)


async def _missing_generations(app: Application, tenant: str, project: str) -> list[MissingRequirement]:
    """Pinned embedding models that have not embedded their base, or not whole. Another one would answer."""
    found: list[MissingRequirement] = []
    documents = app.resources.services.documents
    for name, model in app.resources.release.embedding_models.items() if app.resources.release is not None else ():
        base = await documents.base(KnowledgeBaseId(tenant, project, name))
        generation = None if base is None else base.generation(model)
        if base is None or not base.dimension or (generation is not None and generation.ready):
            continue
        lacking = await documents.unbuilt_passages(base, model)
        hint = f'set embedding_model = "{model}" in [knowledge.{name}], then run: sizewise knowledge rebuild {name}'
        found.append(MissingRequirement("knowledge", name, f"{model} has {lacking:,} passages of it to embed: {hint}"))
    return found


def _missing_secrets(kind: str, name: str, table: object) -> Iterator[MissingRequirement]:
    """By their references in the settings here: other servers may have others for the same provider."""
    for reference in filter(is_reference, setting_texts(table)):
        try:
            resolve_secret(reference)
        except ConfigError as error:
            yield MissingRequirement("secrets", reference, f"{error.message} ({kind}.{name}): {error.hint}")
