"""CSV data sets: read as JSON lines are, in the shapes that spreadsheets write; a mistake names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_items import read_items

HEAD = "id,input,expected,cluster,tags,weight,variables.tone\n"
ROWS = """1,What is the capital of France?,Paris,geo,"must,geo",2,kind
2,"two
lines, one cell","[""a"", ""b""]",,,,

3,"[{""role"": ""user"", ""content"": ""Hi""}]",,,,,
4,[not JSON],{neither},,,,
"""
LINES = """{"id": "1", "input": "What is the capital of France?", "expected": "Paris", "cluster": "geo", "tags": ["must", "geo"], "weight": 2.0, "variables": {"tone": "kind"}}
{"id": "2", "input": "two\\nlines, one cell", "expected": ["a", "b"]}
{"id": "3", "input": [{"role": "user", "content": "Hi"}]}
{"id": "4", "input": "[not JSON]", "expected": "{neither}"}
"""  # noqa: E501  # an item a line

REFUSED = [
    (b"", "has no items"),
    (b"input\n", "has no items"),
    (b"input,answer\na,b\n", "line 2: Object contains unknown field `answer`"),
    (b"input,input\na,b\n", "two columns 'input'"),
    (b"input\na,b\n", "line 2: more cells than columns"),
    (b'input\n"a\n', "line 2: unexpected end of data"),
    (b"input,weight\na,heavy\n", "line 2: Expected `float | null`"),
    (b"id,expected\n1,x\n", "line 2: the input is empty"),
    (b"id,input\n1,x\n1,y\n", "line 3: the id '1' is repeated"),
    (b"input\n\xff\xfe\n", "is not UTF-8 text"),
    (b"input\n" + b"a" * 200_000, "line 2: field larger than field limit"),
]


def test_a_csv_file_is_the_data_set_that_json_lines_would_be(tmp_path: Path) -> None:
    csv, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    lines.write_text(LINES)
    csv.write_text(HEAD + ROWS)
    assert read_items(csv) == read_items(lines)
    csv.write_bytes(b"\xef\xbb\xbf" + (HEAD + ROWS).replace("\n", "\r\n").replace("two\r\n", "two\n").encode())
    assert read_items(csv) == read_items(lines), "as a spreadsheet writes it"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_known_by_the_first_line(tmp_path: Path, delimiter: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(delimiter.join(("input", "expected")) + "\n" + delimiter.join(("one, two", "3")) + "\n")
    (item,) = read_items(file).items
    assert (item.input, item.expected) == ("one, two", "3")


@pytest.mark.parametrize(("data", "said"), REFUSED)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(data)
    with pytest.raises(BadRequest, match=said):
        read_items(file)
