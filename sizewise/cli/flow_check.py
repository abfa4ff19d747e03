"""`sizewise flow check`: all that is wrong with flows, at line and column; needs no server and asks nobody."""

from __future__ import annotations

from pathlib import Path

import click

from sizewise.cli.flow_diagnostics import say, told_json
from sizewise.cli.flow_list import folder
from sizewise.cli.flow_references import Known
from sizewise.cli.options import placed, settings, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest
from sizewise.flows.file_source import SUFFIXES, File, files, read
from sizewise.flows.json_schema import schema
from sizewise.flows.language.diagnostics import known
from sizewise.flows.node_registry import Kinds


@click.command()
@click.argument("flows", nargs=-1)
@placed
def check(flows: tuple[str, ...]) -> int:
    """Find all that is wrong; ends with 1 when something is.

    FLOWS are names in the folder `flows` beside sizewise.toml, or files anywhere; without any, all of the folder.
    What a flow names and the settings here do not is a warning: the server's may be others.

    \b
    Example: sizewise flow check support
    """
    found = chosen(flows)
    known = Known(settings(), files(folder()))
    told = {name: [*file.checked.findings, *known.findings(file)] for name, file in found.items()}
    wrong = sum(each.kind == "mistake" for each in (each for name in told for each in told[name]))
    if wants_json():
        write_json(told_json(found, told))
        return 1 if wrong else 0
    for name, file in found.items():
        for each in told[name]:
            say(file.path, each)
    count = "a flow" if len(found) == 1 else f"{len(found)} flows"
    mistakes = "1 mistake" if wrong == 1 else f"{wrong} mistakes" if wrong else "nothing wrong"
    click.echo(f"{count} checked: {mistakes}", err=bool(wrong))
    return 1 if wrong else 0


def chosen(flows: tuple[str, ...]) -> dict[str, File]:
    """The flows that are named, read beside the others of their folder. Raises BadRequest."""
    kinds = Kinds()
    here = read(folder(), kinds)
    if not flows:
        if not here:
            raise BadRequest(f"there is no flow in {str(folder())!r}", "begin one: sizewise flow new NAME")
        return here
    found: dict[str, File] = {}
    for each in flows:
        path = Path(each)
        if path.suffix in SUFFIXES or "/" in each:
            if not path.is_file():
                raise BadRequest(f"there is no file {each!r}", "name a flow of the folder, or a file")
            found[path.stem] = read(path.parent, kinds)[path.stem]
        elif each in here:
            found[each] = here[each]
        else:
            hint = known(each, here) or "begin one: sizewise flow new NAME"
            raise BadRequest(f"there is no flow {each[:60]!r} in {str(folder())!r}", hint)
    return found


@click.command("schema")
@placed
def schema_() -> None:
    """The JSON Schema of flows, for editors.

    \b
    Example: sizewise flow schema > flow.schema.json
    """
    write_json(schema(Kinds()))
