"""`sizewise flow check`: all that is wrong with flows, at line and column; needs no server and asks nobody."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from sizewise.cli.flow import folder
from sizewise.cli.options import placed, settings, wants_json
from sizewise.cli.paper import write_json
from sizewise.errors import BadRequest
from sizewise.flows.findings import Finding, known
from sizewise.flows.folder import SUFFIXES, File, read
from sizewise.flows.kinds import Kinds
from sizewise.flows.schema import schema


@click.command()
@click.argument("flows", nargs=-1)
@placed
def check(flows: tuple[str, ...]) -> int:
    """Find all that is wrong; ends with 1 when something is.

    FLOWS are names in the folder `flows` beside sizewise.toml, or files anywhere; without any, all of the folder.

    \b
    Example: sizewise flow check support
    """
    found = chosen(flows)
    hosts = settings().hosts
    told = {name: [*file.checked.findings, *_hosts(file, list(hosts))] for name, file in found.items()}
    wrong = sum(each.kind == "mistake" for each in (each for name in told for each in told[name]))
    if wants_json():
        rows = [
            {
                "name": name,
                "file": str(found[name].path),
                "findings": [msgspec.to_builtins(each) for each in told[name]],
            }
            for name in found
        ]
        write_json({"flows": rows, "mistakes": wrong})
        return 1 if wrong else 0
    for name, file in found.items():
        for each in told[name]:
            _say(file.path, each)
    count = "a flow" if len(found) == 1 else f"{len(found)} flows"
    mistakes = "1 mistake" if wrong == 1 else f"{wrong} mistakes" if wrong else "nothing wrong"
    click.echo(f"{count} checked: {mistakes}", err=bool(wrong))
    return 1 if wrong else 0


def _say(path: Path, found: Finding) -> None:
    """As compilers say it, so that editors jump there."""
    node = f"{found.node}: " if found.node else ""
    kind = "" if found.kind == "mistake" else "warning: "
    click.echo(f"{path}:{found.line}:{found.column}: {kind}{node}{found.message}")
    if found.hint:
        click.echo(f"    {found.hint}")


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


def _hosts(file: File, hosts: list[str]) -> list[Finding]:
    """Hosts that `http` nodes name and the settings do not; only a warning: the server's settings may be others."""
    found: list[Finding] = []
    for node in file.checked.spec.every() if file.checked.spec is not None else ():
        host = node.values.get("host")
        if node.kind == "http" and isinstance(host, str) and "{{" not in host and host not in hosts:
            hint = known(host, hosts) or f"Allow it: [hosts.{host}] in sizewise.toml"
            said = f"the settings name no host {host[:60]!r}"
            found.append(Finding(node.id, 1, 1, said, hint, "warning"))
    return found


@click.command("schema")
@placed
def schema_() -> None:
    """The JSON Schema of flows, for editors.

    \b
    Example: sizewise flow schema > flow.schema.json
    """
    write_json(schema(Kinds()))
