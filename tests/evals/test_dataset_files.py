"""A folder of outcomes is read whole or refused, with the file and the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_dataset

PROMPTS = '{"prompt_id": 1, "prompt": "one"}\n\n{"prompt_id": "b", "prompt": "two", "category": "x"}\n'
OUTCOMES = """{"prompt_id": 1, "model": "m", "score": 1.0, "answer": 7, "tokens_out": 2.0}
{"prompt_id": "b", "model": "m", "score": null}
{"prompt_id": "b", "model": "n", "score": 0.5, "confidence": -0.2, "more": "is passed over"}
"""


def folder(tmp_path: Path, prompts: str = PROMPTS, outcomes: str = OUTCOMES) -> Path:
    (tmp_path / "prompts.jsonl").write_text(prompts)
    (tmp_path / "outcomes.jsonl").write_text(outcomes)
    return tmp_path


def test_prompts_and_outcomes_come_as_columns(tmp_path: Path) -> None:
    found = read_dataset(folder(tmp_path))
    assert (found.ids, found.prompts, found.categories) == (("1", "b"), ("one", "two"), ("", "x"))
    assert found.column("m").answer == ["7", None] and found.column("m").tokens_out == [2, 0]
    assert found.scored_rows("m") == [0] and found.scored_rows("n") == [1] and found.scored_rows("m", "n") == []
    assert len(found.digest) == 64


@pytest.mark.parametrize(
    ("prompts", "outcomes", "words"),
    [
        ("", OUTCOMES, "has no prompt"),
        ("{", OUTCOMES, "prompts.jsonl', line 1"),
        (PROMPTS, OUTCOMES + '{"prompt_id": 1}', "outcomes.jsonl', line 4"),
        (PROMPTS, OUTCOMES + '{"prompt_id": 1, "model": "m", "score": 1}', "is repeated"),
        (PROMPTS, '{"prompt_id": 1, "model": "m", "score": 1.5}', "is 1.5"),
        (PROMPTS + '{"prompt_id": 1, "prompt": "again"}', OUTCOMES, "is repeated"),
        (PROMPTS, "\xff", "line 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, prompts: str, outcomes: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_dataset(folder(tmp_path, prompts, outcomes))


def test_an_empty_folder_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"no prompts\.jsonl"):
        read_dataset(tmp_path)
