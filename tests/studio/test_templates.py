"""The templates of a new flow: each can be published as it is, once its knowledge base is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.flows.language.flow_spec import NAME
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import validate_flow

TEMPLATES = sorted((Path(__file__).parents[2] / "web" / "src" / "flows" / "templates").glob("*.yaml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_no_mistake(path: Path) -> None:
    found = validate_flow(path.read_text(), NodeRegistry())
    assert found.diagnostics == ()
    assert found.spec is not None and NAME.match(found.spec.name) and found.spec.description
