"""What a browser uploads: a kit as a zip, one file, and zips that are meant to hurt."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

import pytest

from sizewise.errors import BadRequest
from sizewise.lamatic import uploaded_files
from sizewise.lamatic.importer import ImportedFlow
from tests.graphql.graphql_client import graphql
from tests.lamatic import sample_files
from tests.running_server import Served

QUERY = """query($name: String!, $content: String!) { lamaticFlows(name: $name, content: $content) {
  file name text error notes { grade node message hint } } }"""


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def zipped(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zip:
        for path, text in files.items():
            zip.writestr(path, text)
    return packed.getvalue()


def kit(*names: str) -> dict[str, str]:
    return {
        f"kit/{path}": text
        for name in names
        for path, text in sample_files.agentkit(sample_files.FLOWS[name]()).items()
    }


def test_a_kit_is_read_with_its_prompts_and_what_is_missing_is_told(echo: Served) -> None:
    content = encoded(zipped(kit("LLMNode", "slackNode")))
    rows = graphql(echo, QUERY, name="kit.zip", content=content).data["lamaticFlows"]
    flows = {each["name"]: each for each in rows}
    assert set(flows) == {"llmnode", "slacknode"}
    assert "Write about {{ inputs.topic }}" in flows["llmnode"]["text"]
    (named,) = [each for each in flows["slacknode"]["notes"] if each["grade"] == "named"]
    assert named["message"] == "there is no node of this kind in Sizewise"


def test_what_is_no_flow_says_what_to_upload(echo: Served) -> None:
    answer = graphql(echo, QUERY, name="note.json", content=encoded(b"[]"))
    assert answer.data is None or answer.errors or answer.data["lamaticFlows"][0]["error"]
    for content in (encoded(b"PK nothing"), "not base64!"):
        with pytest.raises(BadRequest):
            uploaded_files.import_upload("kit.zip", content)
    with pytest.raises(BadRequest, match="no Lamatic flow"):
        uploaded_files.import_upload("kit.zip", encoded(zipped({"a/readme.md": "nothing"})))


def test_a_zip_cannot_fill_the_memory_or_reach_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploaded_files, "MAX_TEXT", 100_000)
    with pytest.raises(BadRequest, match="holds more than"):
        uploaded_files.import_upload("bomb.zip", encoded(zipped({"kit/flows/a.yaml": "a" * 5_000_000})))
    with pytest.raises(BadRequest, match="no Lamatic flow"):
        uploaded_files.import_upload("out.zip", encoded(zipped({"../flows/a.yaml": "x", "/flows/b.yaml": "x"})))
    made = uploaded_files.import_upload("kit.zip", encoded(zipped({**kit("LLMNode"), "kit/apps/big.json": "{}"})))
    assert [isinstance(each, ImportedFlow) for each in made.values()] == [True]
