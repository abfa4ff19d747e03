"""Globals that Lamatic gives to code, `output` and `workflow`: finds their uses; runs no code.

`output` is there before the code assigns it. `workflow.NODE.output` is the output of a node by its ID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.javascript_templates import code_only
from sizewise.lamatic.template_parser import TranslationError

OUTPUT = "output"
WORKFLOW = "workflow"
_DECLARED = r"\b(?:let|const|var|function|class)\s+{name}\b"
_OUTPUT = re.compile(r"(?<![\w$.])output\b(?!\s*(?::(?!:)|=(?![=>])))")
"""A use of `output` other than an assignment or a key."""
_WORKFLOW = re.compile(r"(?<![\w$.])workflow\b")
_NODE = re.compile(r"(?<![\w$.])workflow\s*(?:\?\.|\.)\s*(?P<name>[A-Za-z_$][\w$]*)")
_QUOTED = re.compile(r"(?<![\w$.])workflow\s*(?:\?\.)?\[\s*(?P<quote>[\"'])(?P<name>[^\"'\n]{1,200})(?P=quote)\s*\]")


def reads_output(code: str) -> bool:
    """Whether the code uses `output` before it exists, as in `output.x = 1`, and does not declare it."""
    plain = code_only(code)
    return _OUTPUT.search(plain) is not None and re.search(_DECLARED.format(name=OUTPUT), plain) is None


def workflow_nodes(code: str) -> list[str]:
    """IDs of the nodes that the code reads as `workflow.NODE`. Raises TranslationError if they cannot be told."""
    plain = code_only(code)
    uses = len(_WORKFLOW.findall(plain))
    if not uses or re.search(_DECLARED.format(name=WORKFLOW), plain):
        return []
    named = [each["name"] for each in _NODE.finditer(plain)]
    quoted = [each["name"] for each in _QUOTED.finditer(code)]
    if len(named) + len(quoted) < uses:
        raise TranslationError("the code uses all of `workflow`", "Name the nodes: workflow.NODE.output, or {{ }}.")
    return list(dict.fromkeys([*named, *quoted]))


def without_globals(inputs: Mapping[str, Json], code: str) -> dict[str, Json]:
    """The inputs of an imported code node, without those that Lamatic gives by itself."""
    made = dict(inputs)
    if made.get(OUTPUT) == {} and reads_output(code):
        del made[OUTPUT]
    given = made.get(WORKFLOW)
    if isinstance(given, Mapping) and all(
        isinstance(each, Mapping) and list(each) == [OUTPUT] for each in given.values()
    ):
        try:
            if set(workflow_nodes(code)) == set(given):
                del made[WORKFLOW]
        except TranslationError:
            pass
    return made
