"""The examples are whole: each flow is free of mistakes, its settings are accepted, its pages say how it is run."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import validate_flow
from sizewise.knowledge.load import DocumentProcesses
from sizewise.settings.load import load_settings
from tests.examples import sample_documents
from tests.examples.example_runner import EXAMPLES

NAMES = ("support", "advisor", "health", "shop")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_no_mistakes_and_speaks_by_its_answer(name: str) -> None:
    found = validate_flow((EXAMPLES / name / "flows" / f"{name}.yaml").read_text(), NodeRegistry())
    assert found.diagnostics == () and found.flow is not None
    assert found.flow.name == name and found.flow.chat_inputs["question"] == "question"
    assert found.flow.stream_source is not None
    streams = (
        "kind: grounded" not in (EXAMPLES / name / "flows" / f"{name}.yaml").read_text()
    )  # checked before it is shown
    assert bool(found.flow.stream_source.nodes) == streams, "its words stream"


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_an_example_are_accepted(name: str, tmp_path: Path) -> None:
    settings = load_settings(EXAMPLES / name / "sizewise.toml", tmp_path, {})
    for base in settings.knowledge.values():
        assert all(Path(source).is_dir() for source in base.sources)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_tells_how_it_is_run_and_is_listed(name: str) -> None:
    page = (EXAMPLES / name / "README.md").read_text()
    assert f"sizewise flow run {name}" in page and f"flow:{name}" in page
    assert f"]({name}/README.md)" in (EXAMPLES / "README.md").read_text()
    models = set(re.findall(r"sizewise models pull (\S+)", page))
    assert models, "it says which weights it needs"


def test_the_handbook_is_of_the_length_it_says_and_its_papers_are_what_was_written(tmp_path: Path) -> None:
    pages = [*(sample_documents.HANDBOOK).rglob("*.md")]
    assert len(pages) == 36
    sample_documents.write(tmp_path)
    for name in ("owners-manual.pdf", "agents-guide.docx"):
        kept, made = ((folder / name).read_bytes() for folder in (sample_documents.HANDBOOK / "files", tmp_path))
        one, other = (asyncio.run(DocumentProcesses().load(data, name)) for data in (kept, made))
        assert one.text == other.text and one.pages == other.pages
