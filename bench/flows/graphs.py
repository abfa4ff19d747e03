"""The graphs of the bench as flows: a chain of ten, ten side by side between two, a hundred items; runs none."""

from __future__ import annotations

from sizewise.flows.language.types import Json

CHAIN, WIDE, ITEMS = 10, 10, 100
KINDS = ("template", "ask")
"""Of the nodes. A `template` puts a text together; an `ask` asks the echo, through the whole house."""
NODES = {"chain": CHAIN, "fan": WIDE + 2, "each": ITEMS, "none": 1}
"""How many of them a run walks through. `none` is no flow: the question alone."""


def text(graph: str, kind: str) -> str:
    """Every node adds a full stop, so that what comes out tells how many were walked through."""
    wanted = {"chain": _chain, "fan": _fan, "each": _each}[graph]
    return f"name: {graph}-{kind}\n{wanted(kind)}"


def inputs(graph: str) -> Json:
    return [f"item{number}" for number in range(ITEMS)] if graph == "each" else "hi"


def right(graph: str) -> Json:
    """What `out` must be."""
    if graph == "each":
        return [f"item{number}." for number in range(ITEMS)]
    return "hi" + "." * CHAIN if graph == "chain" else "hi.." * WIDE


def _node(kind: str, said: str) -> str:
    if kind == "template":
        return f'{{kind: template, text: "{said}"}}'
    return f'{{kind: ask, model: echo/tiny, prompt: "{said}"}}'


def _chain(kind: str) -> str:
    before = ["inputs.q", *(f"n{number}.text" for number in range(CHAIN))]
    nodes = [f"  n{number}: {_node(kind, f'{{{{ {before[number]} }}}}.')}" for number in range(CHAIN)]
    return "\n".join(["inputs: {q: text}", "nodes:", *nodes, f'outputs: {{out: "{{{{ {before[-1]} }}}}"}}', ""])


def _fan(kind: str) -> str:
    first = f"  first: {_node('template', '{{ inputs.q }}.')}"
    nodes = [f"  n{number}: {_node(kind, '{{ first.text }}.')}" for number in range(WIDE)]
    last = f"  last: {_node('template', ''.join(f'{{{{ n{number}.text }}}}' for number in range(WIDE)))}"
    return "\n".join(["inputs: {q: text}", "nodes:", first, *nodes, last, 'outputs: {out: "{{ last.text }}"}', ""])


def _each(kind: str) -> str:
    return "\n".join(
        [
            "inputs: {q: {list: text}}",
            "nodes:",
            "  all:",
            "    kind: each",
            '    items: "{{ inputs.q }}"',
            f"    at_once: {ITEMS}",
            f"    nodes: {{one: {_node(kind, '{{ item }}.')}}}",
            '    outputs: "{{ one.text }}"',
            'outputs: {out: "{{ all.results }}"}',
            "",
        ],
    )
