"""`sizewise flow check`: reports all errors of flow files with line and column; needs no server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import click

from sizewise.app.flow_references import FlowReferences, known_names
from sizewise.app.routing_config import build_policies
from sizewise.catalog.loader import load_cards, local_cards
from sizewise.cli.flow_diagnostics import diagnostics_json, print_diagnostic
from sizewise.cli.flow_hosts import host_report, print_hosts
from sizewise.cli.flow_list import flows_folder
from sizewise.cli.options import as_json, command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest
from sizewise.flows.call_graph import AgentCalls
from sizewise.flows.file_source import (
    SUFFIXES,
    FlowFile,
    default_flows_folder,
    list_flow_files,
    load_flow_files,
)
from sizewise.flows.host_requirements import required_hosts
from sizewise.flows.json_schema import flow_json_schema
from sizewise.flows.language.diagnostics import did_you_mean
from sizewise.flows.node_registry import NodeRegistry
from sizewise.plugins import PluginRegistry
from sizewise.prompts.prompt_library import list_prompt_ids
from sizewise.settings.load import Settings


@click.command()
@click.argument("flows", nargs=-1)
@local_options
def check(flows: tuple[str, ...]) -> int:
    """Report all errors in flows; exits with 1 if there are any.

    FLOWS are names in the folder `flows` next to sizewise.toml, or files anywhere; without any, the whole folder. A
    name that the settings here lack is a warning, since the server's settings may have it. At the end stand the hosts
    that the flows call, and the settings that allow those which are not allowed yet.

    \b
    Example: sizewise flow check support
    """
    settings = command_settings()
    found = select_flows(flows, settings.agents)
    known = _references(settings)
    told = {name: [*file.validation.diagnostics, *known.check(file.validation)] for name, file in found.items()}
    wrong = sum(each.kind == "mistake" for each in (each for name in told for each in told[name]))
    called = {name: required_hosts(file.validation, settings.hosts) for name, file in found.items()}
    if wants_json():
        write_json({**diagnostics_json(found, told), **host_report(called, settings.hosts)})
        return 1 if wrong else 0
    for name, file in found.items():
        for each in told[name]:
            print_diagnostic(file.path, each)
    count = "1 flow" if len(found) == 1 else f"{len(found)} flows"
    mistakes = "1 error" if wrong == 1 else f"{wrong} errors" if wrong else "no errors"
    click.echo(f"{count} checked: {mistakes}", err=bool(wrong))
    print_hosts(called, settings.hosts)
    return 1 if wrong else 0


def _references(settings: Settings) -> FlowReferences:
    """Raises ConfigError if the settings name models that do not exist."""
    models = build_policies(settings, load_cards(settings), PluginRegistry())[1] if settings.config_file else None
    prompts = list_prompt_ids(default_flows_folder(settings.config_file, settings.home).parent / "prompts")
    names = known_names(settings, flows=list_flow_files(flows_folder()), prompts=prompts)
    return FlowReferences(models, names, settings.hosts, local_cards(settings))


def select_flows(
    flows: tuple[str, ...],
    agents: Mapping[str, AgentCalls] = {},  # never changed
) -> dict[str, FlowFile]:
    """The named flows, read together with the others of their folder. `agents`: of the settings. Raises BadRequest."""
    kinds = NodeRegistry()
    load = cache(partial(load_flow_files, registry=kinds, agents=agents))
    here = load(flows_folder())
    if not flows:
        if not here:
            raise BadRequest(f"there are no flows in {str(flows_folder())!r}", "create one: sizewise flow new NAME")
        return here
    found: dict[str, FlowFile] = {}
    for each in flows:
        path = Path(each)
        if path.suffix in SUFFIXES or "/" in each:
            if not path.is_file():
                raise BadRequest(f"there is no file {each!r}", "give the name of a flow in the folder, or a file")
            file = load(path.parent).get(path.stem)
            if file is None or file.path.name != path.name:
                wanted = "a flow file is named NAME.yaml or NAME.yml, without a dot before it; one file for each name"
                raise BadRequest(f"{each!r} is not read as a flow", wanted)
            found[path.stem] = file
        elif each in here:
            found[each] = here[each]
        else:
            hint = did_you_mean(each, here) or "create one: sizewise flow new NAME"
            raise BadRequest(f"there is no flow {each[:60]!r} in {str(flows_folder())!r}", hint)
    return found


@click.command("schema")
@as_json
def schema_() -> None:
    """Print the JSON Schema of flow files, for editors.

    \b
    Example: sizewise flow schema > flow.schema.json
    """
    write_json(flow_json_schema(NodeRegistry()))
