"""`sizewise compare` against a real server on the echo models: two answers, what each holds, and what is not known."""

from __future__ import annotations

from pathlib import Path

from sizewise.advisor.response_metrics import EXAMPLE_FACTS, EXAMPLE_PROMPT
from tests.cli.terminal import sizewise, watched
from tests.running_server import Served

BOTH = ("--models", "echo/small,echo/large")
APART = (
    "[[echo/small: say The sky is blue.]] "
    "[[echo/large: say Blue light scatters more than red light, which Rayleigh explained.]] Why?"
)
FACTS = """
prompt = "Why is the sky blue?"
[facts]
"the colour" = 'blue'
"scattering" = ['scatter', 'Rayleigh']
"""


def test_both_answers_are_shown_with_what_each_holds(echo: Served) -> None:
    done = sizewise("compare", APART, *BOTH, home=echo.home)
    assert (done.code, done.err) == (0, "")
    assert "The sky is blue." in done.out and "Blue light scatters" in done.out
    for part in ("words", "reading level", "first token", "total", "tokens", "cost", "energy"):
        assert done.out.count(f"{part}  ") == 2, part
    assert "KEY FACT" not in done.out, "nobody declared any"


def test_energy_says_how_it_is_known_and_a_few_words_have_no_reading_level(echo: Served) -> None:
    done = sizewise("compare", APART, *BOTH, "--json", home=echo.home)
    for answer in done.json["answers"]:
        assert answer["energyWh"] > 0 and answer["energyHow"].startswith(("estimated: ", "measured: "))
        assert answer["readingLevel"] is None


def test_for_scripts_all_of_it_is_json(echo: Served) -> None:
    small, large = sizewise("compare", APART, *BOTH, "--json", home=echo.home).json["answers"]
    assert (small["asked"], small["model"], small["answer"]) == ("echo/small", "echo/small", "The sky is blue.")
    assert (small["words"], large["words"]) == (4, 10)
    assert large["outputTokens"] == 10
    assert 0 < small["firstSeconds"] <= small["seconds"]
    assert len(small["trace"]) == 32 and small["trace"] != large["trace"]


def test_the_projects_small_and_large_explain_relativity_when_nothing_is_said(echo: Served) -> None:
    told = sizewise("compare", "--json", home=echo.home).json
    assert told["prompt"] == EXAMPLE_PROMPT
    assert told["facts"] == [fact.name for fact in EXAMPLE_FACTS]
    assert [each["asked"] for each in told["answers"]] == ["small", "large"]
    assert told["answers"][0]["answer"] == EXAMPLE_PROMPT, "an echo repeats the question, and knows nothing"
    assert told["answers"][0]["facts"] == []


def test_facts_come_from_a_file_and_each_answer_has_its_own(echo: Served, tmp_path: Path) -> None:
    file = tmp_path / "facts.toml"
    file.write_text(FACTS)
    told = sizewise("compare", APART, *BOTH, "--file", str(file), "--json", home=echo.home).json
    assert [each["facts"] for each in told["answers"]] == [["the colour"], ["the colour", "scattering"]]
    shown = sizewise("compare", APART, *BOTH, "--file", str(file), home=echo.home).out.splitlines()
    row = next(line for line in shown if line.startswith("scattering"))
    assert row.split() == ["scattering", "-", "yes"]
    asked = sizewise("compare", *BOTH, "--file", str(file), "--json", home=echo.home).json
    assert asked["prompt"] == "Why is the sky blue?"


def test_facts_that_cannot_be_read_are_told_before_anybody_is_asked(echo: Served, tmp_path: Path) -> None:
    file = tmp_path / "facts.toml"
    for wrong in ("[facts", "facts = 3", "[fact]\na = 'b'", "[facts]\n'sky' = '(open'", "[facts]"):
        file.write_text(wrong)
        done = sizewise("compare", "hi", *BOTH, "--file", str(file), home=echo.home)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 2), wrong
    assert sizewise("compare", "hi", "--file", str(tmp_path / "none.toml"), home=echo.home).code == 2


def test_a_wide_terminal_has_them_side_by_side_and_a_narrow_one_below_each_other(echo: Served) -> None:
    wide = watched("compare", APART, *BOTH, home=echo.home, COLUMNS="100", NO_COLOR="1")
    assert any("The sky is blue." in line and "Blue light scatters" in line for line in wide.splitlines()[2:])
    assert max(map(len, wide.splitlines()[2:])) <= 100
    narrow = watched("compare", APART, *BOTH, home=echo.home, COLUMNS="60", NO_COLOR="1")
    assert not any("The sky is blue." in line and "Blue light" in line for line in narrow.splitlines()[2:])


def test_two_names_of_one_model_are_told(echo: Served) -> None:
    done = sizewise("compare", "hi", "--models", "small,echo/small", home=echo.home)
    assert done.code == 0
    assert "the same model" in done.err


def test_models_must_be_at_least_two_and_different(echo: Served) -> None:
    for wrong in ("small", "", "small,small", "a,b,c,d,e"):
        done = sizewise("compare", "hi", "--models", wrong, home=echo.home)
        assert (done.code, done.out) == (2, ""), wrong


def test_an_unknown_model_is_told_with_the_nearest(echo: Served) -> None:
    done = sizewise("compare", "hi", "--models", "echo/small,echo/lrage", home=echo.home)
    assert done.code == 2
    assert "echo/large" in done.err


def test_an_answer_that_came_is_shown_although_the_other_one_failed(echo: Served) -> None:
    done = sizewise("compare", "hello [[echo/large: fail after=2]] one two three", *BOTH, home=echo.home)
    assert done.code == 3
    assert "hello  one two three" in done.out
    assert "echo/large: the answer was interrupted" in done.err.splitlines()[0]
    assert len(done.err.splitlines()) == 2
    scripted = sizewise("compare", "hello [[echo/large: fail]]", *BOTH, "--json", home=echo.home)
    assert scripted.code == 3 and scripted.json["error"]["code"]


def test_a_question_can_be_piped_in_with_a_dash(echo: Served) -> None:
    told = sizewise("compare", "Sum up:", "-", *BOTH, "--json", home=echo.home, stdin="a long text\n").json
    assert told["prompt"] == "Sum up:\n\na long text"
    assert sizewise("compare", "-", *BOTH, home=echo.home, stdin=" ").code == 2


def test_without_a_server_the_next_step_is_told(tmp_path: Path) -> None:
    done = sizewise("compare", "hi", home=tmp_path)
    assert done.code == 3
    assert "sizewise up" in done.err


def test_the_longest_answer_is_passed_on_and_its_cut_is_told(echo: Served) -> None:
    done = sizewise("compare", "a b c", *BOTH, "--max-tokens", "2", home=echo.home)
    assert "2, cut off at the maximum length" in done.out
