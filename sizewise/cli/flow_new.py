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

FROM_DOCUMENTS = """\
# Reference: docs/reference/flows.md. Check this file: sizewise flow check {name}
name: {name}
description: Answers from the documents of {base} alone, and says from where.

inputs:
  question: text

nodes:
  find:
    kind: search
    knowledge: {base}
    query: "{{{{ inputs.question }}}}"
    limit: 4

  # Only what a passage says leaves this node; where no passage answers, it says so.
  answer:
    kind: grounded
    model: auto            # auto:POLICY, small, large, PROVIDER/MODEL
    question: "{{{{ inputs.question }}}}"
    passages: "{{{{ find.passages }}}}"
    otherwise: The documents do not answer that.

outputs:
  answer: "{{{{ answer.text }}}}"
  sources: "{{{{ answer.sources }}}}"
"""


@click.command()
@click.argument("name")
@click.option("--knowledge", metavar="BASE", help="It answers from this knowledge base alone, with sources.")
@local_options
def new(name: str, knowledge: str | None) -> None:
    """Create a flow from a small working example.

    \b
    Example: sizewise flow new support --knowledge handbook
    """
    for each in (name, knowledge):
        if each is not None and not NAME.match(each):
            raise BadRequest(f"{each[:60]!r} is not a name", "use a letter, then letters, digits, _ and -")
    path = flows_folder() / f"{name}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = TEXT if knowledge is None else FROM_DOCUMENTS
        create_file_atomically(path, text.format(name=name, base=knowledge).encode(), 0o666)
    except FileExistsError as error:
        raise BadRequest(f"there is already a flow {name!r}: {str(path)!r}", "choose another name") from error
    except OSError as error:
        raise ExternalFailure(
            f"{str(path)!r} cannot be written: {error.strerror}", "check that the folder is writable"
        ) from error
    if wants_json():
        write_json({"name": name, "file": str(path)})
        return
    question = "Why is the sky blue?" if knowledge is None else "..."
    click.echo(f"{path}\n\n  sizewise flow check {name}\n  sizewise flow run {name} --input question='{question}'")
    if knowledge is not None:
        click.echo(f"  sizewise widget create {name} --target flow:{name} --page")
