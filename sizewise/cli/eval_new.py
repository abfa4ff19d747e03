"""`sizewise eval new`: writes a small working eval and its data; overwrites nothing."""

from __future__ import annotations

import re

import click

from sizewise.atomic_file import create_file_atomically
from sizewise.cli.eval_files import evals_folder
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest, ExternalFailure

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")

EVAL = """\
# Reference: docs/how-to/evals.md. Run it: sizewise eval run {name}
target: {{model: auto, temperature: 0}}   # or a model, auto:POLICY, {{flow: NAME}}
data: {name}.jsonl               # an item a line: id, input, expected, cluster, tags
repeat: 1                      # answers an item

scorers:
  right: {{kind: number}}        # exact contains regex choice json tool_calls cites judge ...: docs/how-to/evals.md
  cost: {{kind: cost}}           # cost latency tokens: amounts, not scores

gate:                          # sizewise eval gate {name} checks these
  - {{every: {{tags: [must]}}}}
  - {{score: right, at_least: 0.5}}
# - {{score: right, not_worse_by: 0.05}}      # against a base run: --base RUN
# - {{latency: p95, ratio_at_most: 1.25}}

budget: {{usd: 1.00, minutes: 10, concurrency: 2}}   # usd: none sets no limit
"""
DATA = """\
{"id": "sum", "input": "What is 2 + 3? Answer with the number alone.", "expected": 5, "tags": ["must"]}
{"id": "hours", "input": "How many hours does a day have? Answer with the number alone.", "expected": 24}
{"id": "product", "input": "What is 6 x 7? Answer with the number alone.", "expected": 42}
{"id": "days", "input": "How many days does a week have? Answer with the number alone.", "expected": 7}
"""


@click.command()
@click.argument("name")
@local_options
def new(name: str) -> None:
    """Create an eval and its data from a small working example.

    \b
    Example: sizewise eval new support
    """
    if NAME.fullmatch(name) is None:
        raise BadRequest(f"{name[:60]!r} is not an eval name", "use a letter, then letters, digits, _ and -")
    folder = evals_folder()
    files = {folder / f"{name}.yaml": EVAL.format(name=name), folder / f"{name}.jsonl": DATA}
    for path in files:
        if path.exists():
            raise BadRequest(f"there is already {str(path)!r}", "choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            create_file_atomically(path, text.encode(), 0o666)
    except OSError as error:
        hint = "check that the folder is writable"
        raise ExternalFailure(f"{str(folder)!r} cannot be written: {error.strerror}", hint) from error
    if wants_json():
        write_json({"name": name, "files": [str(path) for path in files]})
        return
    click.echo("\n".join(map(str, files)) + f"\n\n  sizewise eval run {name}\n  sizewise eval gate {name}")
