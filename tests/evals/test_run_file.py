"""Run files that are written twice, cut or forged: nothing is lost, and no value is taken that a run cannot have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import BadRequest, ExternalFailure
from sizewise.evals.runs.eval_items import read_items
from sizewise.evals.runs.run_file import ItemResult, RunHead, open_run, read_run

HEAD = RunHead(
    eval="x",
    target="a/b",
    started="",
    data="",
    scoring="",
    scorers={"right": "exact", "cost": "cost"},
    repeat=1,
    planned=2,
)
LINE = {"item": "1", "digest": "1", "repeat": 0, "cluster": "1"}


def result(item: str) -> ItemResult:
    return ItemResult(item=item, digest=item, repeat=0, cluster=item)


def test_two_commands_do_not_write_one_run(tmp_path: Path) -> None:
    file = tmp_path / ".runs" / "x" / "run.jsonl"
    with open_run(file, HEAD) as first:
        first.append(result("1"))
        with pytest.raises(ExternalFailure, match="another command"), open_run(file, HEAD):
            pass
        first.append(result("2"))
    with open_run(file, HEAD) as second:
        second.append(result("3"))
    assert [each.item for each in read_run(file).results] == ["1", "2", "3"]
    assert file.stat().st_mode & 0o077 == 0 and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ({"format": 2}, {}),
        ({"planned": 0}, {}),
        ({"target": "a\n::warning::b"}, {}),
        ({}, {"repeat": 1}),
        ({}, {"weight": -1.0}),
        ({}, {"weight": 0}),
        ({}, {"seconds": -1}),
        ({}, {"item": "a\u001b[2J"}),
        ({}, {"scores": {"right": {"value": 5.0}}}),
        ({}, {"scores": {"right": {"value": -5.0}}}),
    ],
)
def test_a_value_that_no_run_has_is_refused(tmp_path: Path, head: dict[str, Any], line: dict[str, Any]) -> None:
    file = tmp_path / "run.jsonl"
    with open_run(file, HEAD) as run:
        run.append(result("0"))
    first, second = file.read_text().splitlines()
    cost = {"scores": {"cost": {"value": 5.0}}}
    file.write_text("\n".join([first, second, json.dumps({**LINE, **cost}), ""]))
    assert len(read_run(file).results) == 2
    forged = [json.dumps({**json.loads(first), **head}), second, json.dumps({**LINE, **line}), ""]
    file.write_text("\n".join(forged))
    with pytest.raises(BadRequest, match=r"run\.jsonl"):
        read_run(file)


def test_an_id_with_a_control_character_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"id": "a\\n::warning::b", "input": "x"}\n')
    with pytest.raises(BadRequest, match="line 1"):
        read_items(file)
