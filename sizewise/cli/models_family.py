"""The models that a plain name means, as `claude-3`: a table of them, or the configured one among them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.model_info import ModelInfo
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import wants_json
from sizewise.cli.output import format_count, write_json, write_table
from sizewise.errors import ModelNotFound
from sizewise.settings.load import Settings


def write_family(name: str, models: Sequence[ModelInfo]) -> None:
    if wants_json():
        found = [{"name": each.name, "title": each.title, "vendor": each.vendor} for each in models]
        write_json({"name": name, "models": found})
        return
    rows = [
        (
            each.name,
            each.title,
            format_count(each.parameters.value if each.parameters else None),
            format_count(each.context.value if each.context else None),
            each.license.value if each.license else "unknown",
            each.retirement_date.value if each.retirement_date else "-",
        )
        for each in models
    ]
    heads = ("MODEL", "TITLE", "PARAMETERS", "CONTEXT", "LICENSE", "RETIRED")
    write_table(heads, rows, right="PARAMETERS CONTEXT")
    click.echo(f"{name!r} names {len(models)} models; for one: sizewise models show {models[0].name}")


async def configured_name(client: ApiClient, name: str, settings: Settings) -> str:
    """The name of the configured model that a plain name means; `name` itself if it is configured or means none.

    Raises ModelNotFound with the models that it means, if none of them or several are configured.
    """
    listed = await operations.list_models(client)
    every = [each.name for each in listed.models]
    if name in listed.model_aliases or name in every or name in [each.partition("/")[2] for each in every]:
        return name
    catalog = current_catalog(settings)
    meant = [each.name for each in catalog.models_named(name)]
    if not meant:
        return name
    known = catalog.find_models(each.partition("/")[2] for each in every)
    here = [each for each in every if (model := known.get(each.partition("/")[2])) is not None and model.name in meant]
    if len(here) == 1:
        return here[0]
    if here:
        hint = "Choose one of them: --model NAME"
        raise ModelNotFound(f"{name!r} names {len(here)} configured models: {', '.join(here)}", hint, param="model")
    hint = f"Who sells it: sizewise models show {meant[0]}"
    raise ModelNotFound(f"{name!r} is not configured here; it names {', '.join(meant)}", hint, param="model")
