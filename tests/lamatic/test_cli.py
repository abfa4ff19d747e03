"""`sizewise import lamatic` and `export` at the terminal: kits into the folder of flows, and a flow out as a kit."""

from __future__ import annotations

from pathlib import Path

from sizewise.flows.language.yaml_source import parse_yaml
from tests.cli.terminal import sizewise
from tests.lamatic import sample_files


def kit(folder: Path, *names: str) -> Path:
    for name in names:
        for path, text in sample_files.agentkit(sample_files.FLOWS[name]()).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    return folder


def test_a_kit_comes_goes_and_comes_again_the_same(tmp_path: Path) -> None:
    kit(tmp_path / "kit", "conditionNode")
    came = sizewise("import", "lamatic", "kit", home=tmp_path)
    path = tmp_path / "flows" / "conditionnode.yaml"
    assert (came.code, came.out) == (0, f"{path}: 9 nodes imported, from kit/flows/conditionnode.ts\n")
    assert sizewise("flow", "check", home=tmp_path).out == "1 flow checked: no errors\n"

    went = sizewise("flow", "export", "conditionnode", "--format", "agentkit", "--to", "back", home=tmp_path)
    assert (went.code, went.err) == (0, "back: 5 nodes exported\n")
    again = sizewise("import", "lamatic", "back", "--to", "again", home=tmp_path)
    assert again.code == 0
    assert parse_yaml((tmp_path / "again" / path.name).read_text()).version == parse_yaml(path.read_text()).version


def test_what_is_no_node_here_ends_with_one_and_says_what_to_do(tmp_path: Path) -> None:
    kit(tmp_path / "kit", "slackNode", "LLMNode")
    (tmp_path / "kit" / "flows" / "broken.ts").write_text("export const nodes = [")
    came = sizewise("import", "lamatic", "kit", "--json", home=tmp_path)
    assert came.code == 1
    assert {each["name"]: each["named"] for each in came.json["flows"]} == {"llmnode": 0, "slacknode": 1}
    assert came.json["refused"] == {"kit/flows/broken.ts": "flows/broken.ts:1: a list is not closed"}
    (told,) = [each for each in came.json["flows"][1]["nodes"] if each["grade"] == "named"]
    assert (told["node"], told["message"]) == ("slackNode_512", "there is no node of this kind in Sizewise")


def test_nothing_outside_the_project_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("the secret")
    folder = kit(tmp_path / "kit", "LLMNode")
    prompt = next((folder / "prompts").glob("*user*"))
    prompt.unlink()
    prompt.symlink_to(tmp_path / "secret.md")
    came = sizewise("import", "lamatic", "kit", home=tmp_path)
    assert came.code == 1
    assert "does not exist" in came.out
    assert not [path for path in (tmp_path / "flows").iterdir() if "the secret" in path.read_text()]


def test_a_file_that_holds_no_flow_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.yaml").write_text("a: 1\n")
    wrong = sizewise("import", "lamatic", "notes.yaml", home=tmp_path)
    assert (wrong.code, "the file contains no Lamatic flow" in wrong.out) == (1, True)
