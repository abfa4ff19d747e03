"""The layers around an answer: pages list them in the order of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

import pytest

from tests.walls.source import ROOT

PAGE_NAMES: Mapping[str, str] = {
    "with_response_cache": "ResponseCache",
    "decisions.wrap": "DecisionLadders",
    "guardrails.wrap": "GuardrailMiddleware",
}
"""What a function of the list adds, where it is no class itself."""


def layers(path: str, function: str) -> list[str]:
    """The elements of the list `layers` in `function`, innermost first."""
    tree = ast.parse((ROOT / path).read_text())
    (build,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function)
    (value,) = (
        node.value
        for node in ast.walk(build)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "layers"
    )
    assert isinstance(value, ast.List)
    found = [ast.unparse(each.args[0] if isinstance(each, ast.Call) else each) for each in value.elts]
    return [PAGE_NAMES.get(name, name) for name in found]


def listed(text: str, names: list[str]) -> list[str]:
    return [name for name in re.findall(r"`([A-Za-z]+)`", text) if name in names]


@pytest.mark.parametrize("page", ["how-a-request-flows.md", "processes.md"])
def test_pages_list_the_layers_around_a_model_from_outside_in(page: str) -> None:
    names = [*reversed(layers("sizewise/app/application.py", "build_application")), "Router"]
    assert listed((ROOT / "docs" / "explanation" / page).read_text(), names) == names


def test_the_page_lists_the_layers_around_a_flow_from_outside_in() -> None:
    names = [*reversed(layers("sizewise/app/flow_stack.py", "build_features"))]
    assert names == ["RateLimitMiddleware", "PendingRecordMiddleware", "IdempotencyMiddleware", "RevocationMiddleware"]
    text = (ROOT / "docs" / "explanation" / "how-a-request-flows.md").read_text()
    assert "four layers of its own: rate limits, pending records, idempotency and revocation" in " ".join(text.split())
