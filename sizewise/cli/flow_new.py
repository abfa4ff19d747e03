"""`sizewise flow new`: writes a small working flow; overwrites nothing."""

from __future__ import annotations

import click

from sizewise.atomic_file import create_file_atomically
from sizewise.cli.flow_list import flows_folder
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.flows.language.flow_spec import NAME

TEXT = """\
# Reference: docs/reference/flows.md. Check this file: sizewise flow check {name}
name: {name}
description: Answers a question briefly.

inputs:
  question: text

nodes:
  answer:
    kind: ask
    model: auto            # auto:POLICY, small, large, PROVIDER/MODEL
    system: Answer in two sentences at most.
    prompt: "{{{{ inputs.question }}}}"

outputs:
  answer: "{{{{ answer.text }}}}"
"""


@click.command()
@click.argument("name")
@local_options
def new(name: str) -> None:
    """Create a flow from a small working example.

    \b
    Example: sizewise flow new support
    """
    if not NAME.match(name):
        raise BadRequest(f"{name[:60]!r} is not a flow name", "use a letter, then letters, digits, _ and -")
    path = flows_folder() / f"{name}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_file_atomically(path, TEXT.format(name=name).encode(), 0o666)
    except FileExistsError as error:
        raise BadRequest(f"there is already a flow {name!r}: {str(path)!r}", "choose another name") from error
    except OSError as error:
        raise ExternalFailure(
            f"{str(path)!r} cannot be written: {error.strerror}", "check that the folder is writable"
        ) from error
    if wants_json():
        write_json({"name": name, "file": str(path)})
        return
    click.echo(
        f"{path}\n\n  sizewise flow check {name}\n  sizewise flow run {name} --input question='Why is the sky blue?'",
    )
