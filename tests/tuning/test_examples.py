"""Examples of a task: every form of a row, each prompt once, nothing of the test among what is learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizewise.errors import BadRequest
from sizewise.tuning.examples import MIN_EXAMPLES, KeptExamples, PromptMessage, is_held_out, read_examples


def written(folder: Path, rows: list[object], name: str = "data.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return file


def pairs(count: int) -> list[object]:
    return [{"input": f"message {at}", "output": ("yes", "no")[at % 2]} for at in range(count)]


def test_a_fifth_is_held_out_and_shares_no_prompt_with_the_rest(tmp_path: Path) -> None:
    found = read_examples(written(tmp_path, pairs(100)), None, "Answer.")
    assert len(found.train) == 80 and len(found.test) == 20 and found.is_closed
    assert not {each.prompt for each in found.train} & {each.prompt for each in found.test}
    assert found.train[0].prompt[0] == PromptMessage("system", "Answer.")
    assert read_examples(written(tmp_path, pairs(100)), None, "Answer.") == found


def test_messages_keep_their_own_instructions(tmp_path: Path) -> None:
    said = [
        {"messages": [{"role": "system", "content": f"{at}"}, *_turn(at)]} for at in range(MIN_EXAMPLES)
    ]  # fmt: skip
    found = read_examples(written(tmp_path, list[object](said)), None, "Answer.")
    assert all(each.prompt[0].content != "Answer." for each in found.train)


def _turn(at: int) -> list[object]:
    return [{"role": "user", "content": "hello"}, {"role": "assistant", "content": ("yes", "no")[at % 2]}]


def test_repeated_rows_count_once_and_contradictions_are_left_out(tmp_path: Path) -> None:
    rows = [*pairs(50), {"input": "message 0", "output": "yes"}, {"input": "message 1", "output": "yes"}]
    found = read_examples(written(tmp_path, rows), None, "")
    assert (found.duplicates, found.contradictions) == (2, 1)
    assert len(found.train) + len(found.test) == 49


def test_what_is_in_the_test_file_is_not_learned(tmp_path: Path) -> None:
    test = written(tmp_path, pairs(10), "test.jsonl")
    found = read_examples(written(tmp_path, pairs(60)), test, "")
    assert len(found.train) == 50 and len(found.test) == 10


def test_why_few_examples_are_left_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, [*pairs(60), *({"input": f"message {at}", "output": "maybe"} for at in range(50, 60))])
    with pytest.raises(BadRequest, match="has 0 different examples, without 70 that are held out, and tuning needs"):
        read_examples(file, file, "")
    with pytest.raises(BadRequest, match="has 30 different examples, without 20 that are held out and 10 that have"):
        read_examples(file, written(tmp_path, pairs(20), "test.jsonl"), "")
    with pytest.raises(BadRequest, match=r"test\.jsonl' has no examples"):
        read_examples(file, written(tmp_path, [], "test.jsonl"), "")


def test_kept_answers_are_the_examples_that_files_with_them_would_have(tmp_path: Path) -> None:
    rows = [(f"message {at}", ("yes", "no")[at % 2]) for at in range(100)]
    learned, asked = (
        [{"input": text, "output": said} for text, said in rows if is_held_out(text) is held] for held in (False, True)
    )
    data, test = written(tmp_path, list[object](learned)), written(tmp_path, list[object](asked), "test.jsonl")
    assert KeptExamples(tuple(rows), "Answer.").read() == read_examples(data, test, "Answer.")
    with pytest.raises(BadRequest, match="the decision has 32 different examples"):
        KeptExamples(tuple(rows[:40]), "").read()
    with pytest.raises(BadRequest, match="kept answer 2: it is longer"):
        KeptExamples((rows[0], ("a" * 30_000, "no")), "").read()
    with pytest.raises(BadRequest, match="none of the kept answers is held out"):
        KeptExamples(tuple(each for each in rows if not is_held_out(each[0])), "").read()


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["nonsense"], "data.jsonl:1: "),
        ([*pairs(1), {"input": "without an answer"}], "data.jsonl:2: it has no answer"),
        ([{"input": "a", "output": " "}], "data.jsonl:1: the answer is empty"),
        ([{"messages": [{"role": "assistant", "content": "a"}]}], "the message before the answer is not the user's"),
        (pairs(MIN_EXAMPLES - 1), "has 39 different examples"),
        ([{"input": f"{at}", "output": "same"} for at in range(60)], "has the same answer"),
        ([{"input": "a" * 30_000, "output": "b"}], "longer than 20,000 characters"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, rows: list[object], why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_examples(written(tmp_path, rows), None, "")
    assert why in refused.value.message and refused.value.hint
