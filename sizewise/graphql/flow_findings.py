"""What is wrong with a text of a flow, as values of GraphQL, each with its fixes; checks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sizewise.flows.language.diagnostics import Diagnostic
from sizewise.flows.quick_fixes import line_starts, quick_fixes
from sizewise.graphql.model_type import FieldValues

SEVERITIES: Mapping[str, str] = {"mistake": "error", "warning": "warning"}


def flow_findings(text: str, diagnostics: Sequence[Diagnostic]) -> list[FieldValues]:
    starts = line_starts(text) if diagnostics else []
    return [
        {
            "node": found.node,
            "line": found.line,
            "column": found.column,
            "message": found.message,
            "hint": found.hint,
            "severity": SEVERITIES[found.kind],
            "fixes": [msgspec.structs.asdict(each) for each in quick_fixes(text, starts, found)],
        }
        for found in diagnostics
    ]
