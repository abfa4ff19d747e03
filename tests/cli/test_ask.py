"""`sizewise ask` against a real server on the echo model: words to stdout, the account to stderr."""

from __future__ import annotations

from tests.cli.terminal import sizewise
from tests.running_server import Served


def test_the_answer_is_on_stdout_and_who_gave_it_on_stderr(echo: Served) -> None:
    done = sizewise("ask", "-m", "echo/small", "Hello there", home=echo.home)
    assert (done.code, done.out) == (0, "Hello there\n")
    for part in ("echo/small", "named in the request", "2+2 tokens", " s"):
        assert part in done.err
    assert len(done.err.splitlines()) == 1


def test_words_need_no_quotes(echo: Served) -> None:
    assert sizewise("ask", "why", "is", "it", home=echo.home).out == "why is it\n"


def test_a_question_can_come_from_stdin(echo: Served) -> None:
    assert sizewise("ask", home=echo.home, stdin="from a pipe\n").out == "from a pipe\n"
    assert sizewise("ask", "-", home=echo.home, stdin="from a pipe\n").out == "from a pipe\n"


def test_a_dash_stands_for_what_is_piped_in(echo: Served) -> None:
    done = sizewise("ask", "Sum this up:", "-", "In five words.", home=echo.home, stdin="a long text\n")
    assert done.out == "Sum this up:\n\na long text\n\nIn five words.\n"


def test_stdin_is_left_alone_where_the_question_is_given(echo: Served) -> None:
    assert sizewise("ask", "hello", home=echo.home, stdin="ignored").out == "hello\n"


def test_an_empty_question_is_refused(echo: Served) -> None:
    done = sizewise("ask", home=echo.home, stdin="  \n")
    assert done.code == 2


def test_for_scripts_all_of_it_is_json(echo: Served) -> None:
    done = sizewise("ask", "--json", "-m", "echo/large", "Hello there", home=echo.home)
    assert done.err == ""
    assert done.json["answer"] == "Hello there"
    assert done.json["model"] == "echo/large"
    assert (done.json["inputTokens"], done.json["outputTokens"]) == (2, 2)
    assert len(done.json["trace"]) == 32


def test_the_policy_and_the_longest_answer_are_passed_on(echo: Served) -> None:
    assert sizewise("ask", "a b c", "--max-tokens", "2", home=echo.home).out == "a b\n"
    unknown = sizewise("ask", "a", "--policy", "defualt", home=echo.home)
    assert unknown.code == 2
    assert "default" in unknown.err


def test_the_system_message_is_read_first(echo: Served) -> None:
    done = sizewise("ask", "--json", "-s", "Be brief please", "-m", "echo/small", "Hi", home=echo.home)
    assert done.json["inputTokens"] == 4


def test_an_unknown_model_is_told_with_the_nearest(echo: Served) -> None:
    done = sizewise("ask", "-m", "echo/smal", "hi", home=echo.home)
    assert done.code == 2
    assert "echo/small" in done.err


def test_a_model_that_fails_ends_with_3_and_its_own_words(echo: Served) -> None:
    done = sizewise("ask", "-m", "echo/small", "[[fail]]", home=echo.home)
    assert (done.code, done.out) == (3, "")
    assert "echo cannot be reached" in done.err


def test_an_answer_that_breaks_off_is_no_answer(echo: Served) -> None:
    done = sizewise("ask", "-m", "echo/small", "one two three four [[fail after=2]]", home=echo.home)
    assert done.code == 3
    assert done.out == "one two\n"
    assert len(done.err.splitlines()) == 2
