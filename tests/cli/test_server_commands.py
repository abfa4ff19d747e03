"""The verbs that look at a running server: models, route explain, records, keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving


def test_the_list_shows_what_can_be_asked_and_what_can_be_fetched(echo: Served, tmp_path: Path) -> None:
    done = sizewise("models", home=echo.home, SIZEWISE_CACHE=str(tmp_path))
    assert done.code == 0
    assert "echo/small" in done.out
    assert "ready" in done.out
    assert "local/smollm2-135m" in done.out
    told = sizewise("models", "--json", home=echo.home).json
    assert told["running"] is True
    assert "auto" in told["modelAliases"]


def test_without_a_server_the_list_is_the_catalogue_and_says_so(tmp_path: Path) -> None:
    done = sizewise("models", home=tmp_path, SIZEWISE_CACHE=str(tmp_path))
    assert done.code == 0
    assert "sizewise models pull smollm2-135m" in done.out
    assert "no server is running" in done.err
    assert sizewise("models", "--json", home=tmp_path).json["running"] is False


def test_a_model_is_shown_with_every_fact_and_its_source(echo: Served, tmp_path: Path) -> None:
    for home in (echo.home, tmp_path):
        shown = sizewise("models", "show", "smollm2-135m", home=home).out
        assert "134,515,008" in shown
        assert "GGUF header, read 2026-" in shown
        assert "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" in shown
    assert "unknown" in sizewise("models", "show", "echo/small", home=echo.home).out


def test_the_same_shape_is_told_with_and_without_a_server(echo: Served, tmp_path: Path) -> None:
    running = sizewise("models", "show", "echo/small", "--json", home=echo.home).json
    offline = sizewise("models", "show", "smollm2-135m", "--json", home=tmp_path).json
    assert running.keys() == offline.keys()


@pytest.mark.long
def test_an_unknown_model_is_told_with_the_nearest(echo: Served, tmp_path: Path) -> None:
    for home in (echo.home, tmp_path):
        done = sizewise("models", "show", "smolm2-135m", home=home)
        assert done.code == 2
        assert "smollm2-135m" in done.err


def test_a_decision_is_explained(echo: Served) -> None:
    done = sizewise("route", "explain", "Why is the sky blue?", home=echo.home)
    assert done.code == 0
    assert "echo/small" in done.out
    assert "by policy default" in done.out
    told = sizewise("route", "explain", "--json", "Why?", "--data-class", "confidential", home=echo.home).json
    assert told["dataClass"] == "confidential"


def test_when_nobody_fits_the_answer_is_no(echo: Served) -> None:
    done = sizewise("route", "explain", "hi", "--max-cost-usd", "0", home=echo.home)
    assert done.code == 1
    assert "no known price" in done.out


def test_an_amount_that_is_none_is_the_askers_mistake(echo: Served) -> None:
    assert sizewise("route", "explain", "hi", "--max-cost-usd", "much", home=echo.home).code == 2


@pytest.mark.long
def test_what_happened_is_listed_and_each_attempt_shown(echo: Served) -> None:
    trace = echo.chat("echo/small", "[[fail times=1]] a b").headers["x-sizewise-trace"]
    done = sizewise("records", "--last", "5", home=echo.home)
    assert trace[:16] in done.out
    assert "echo/small (2)" in done.out
    shown = sizewise("records", trace[:16], home=echo.home).out
    assert "failed" in shown
    assert "answered" in shown
    for words in (("records", trace), ("records", "--trace", trace)):
        (record,) = sizewise(*words, "--json", home=echo.home).json["records"]
        assert [each["result"] for each in record["attempts"]] == ["failed", "answered"]


def test_records_can_be_narrowed(echo: Served) -> None:
    echo.chat("echo/large")
    told = sizewise("records", "--json", "--model", "echo/large", "-n", "1", home=echo.home).json["records"]
    assert [each["model"] for each in told] == ["echo/large"]
    assert "attempts" not in told[0]


@pytest.mark.long
def test_a_name_that_a_client_made_up_does_not_command_the_terminal(echo: Served) -> None:
    assert echo.chat("nope\x1b[2J").status == 404
    (line, *_) = (line for line in sizewise("records", home=echo.home).out.splitlines() if "nope" in line)
    assert "nope\ufffd[2J" in line and line.isprintable()


@pytest.mark.parametrize("words", [("--status", "0"), ("--model", "echo/none"), ("--endpoint", "nowhere")])
def test_records_that_do_not_match_are_not_called_missing(echo: Served, words: tuple[str, str]) -> None:
    echo.chat("echo/large")
    done = sizewise("records", *words, home=echo.home)
    assert (done.code, done.err) == (0, "no record is like that\n")


@pytest.mark.long
def test_the_calls_of_one_job_are_one_line(tmp_path: Path) -> None:
    config = ECHO.replace('"large"]', '"large", "vectors"]\n[models."echo/vectors"]\ntask = "embed"')
    with serving(tmp_path, config) as served:
        job = f"00-{'ab' * 16}-b7ad6b7169203331-01"
        for words in (["a b", "c"], ["d"], ["e f g"]):
            asked = {"model": "echo/vectors", "input": words}
            assert served.ask("/v1/embeddings", asked, traceparent=job).status == 200
        served.chat("small")
        lines = sizewise("records", home=tmp_path).out.splitlines()[1:]
        assert [line.split()[2:5] for line in lines] == [["small", "echo/small", "200"], ["echo/vectors"] * 2 + ["(3)"]]
        found = sizewise("records", "--endpoint", "embeddings", "--json", home=tmp_path).json["records"]
        assert len(found) == 3
        assert sum(each["tokens"]["input"] for each in found) == 7 and " 7+0 " in lines[1]


def test_a_trace_that_nobody_knows_is_told(echo: Served) -> None:
    done = sizewise("records", "ffffffff", home=echo.home)
    assert done.code == 2
    assert "ffffffff" in done.err


@pytest.mark.long
def test_a_key_is_made_used_and_revoked(echo: Served) -> None:
    done = sizewise("keys", "create", "laptop", "--permissions", "ask,read", "--expires-days", "1", home=echo.home)
    key = done.out.strip()
    assert done.code == 0
    assert "its secret is shown once" in done.err
    assert echo.ask("/v1/models", key=key).status == 200
    (mine,) = [each for each in sizewise("keys", "--json", home=echo.home).json["keys"] if key.startswith(each["id"])]
    assert (mine["name"], mine["permissions"], mine["state"]) == ("laptop", ["ask", "read"], "valid")
    assert sizewise("keys", "revoke", mine["id"], home=echo.home).code == 0
    assert echo.ask("/v1/models", key=key).status == 401
    assert "revoked" in sizewise("keys", home=echo.home).out
    assert key not in sizewise("keys", home=echo.home).out


def test_keys_that_cannot_be_made_or_revoked_are_told(echo: Served) -> None:
    assert sizewise("keys", "create", "a", "--permissions", "asks", home=echo.home).code == 2
    assert sizewise("keys", "create", "a", "--expires-days", "-1", home=echo.home).code == 2
    assert sizewise("keys", "revoke", "sw-nobody", home=echo.home).code == 2


@pytest.mark.parametrize("words", [("records", "--min-ms", "nan"), ("keys", "create", "q", "--expires-days", "inf")])
def test_a_number_that_is_none_is_refused_before_it_is_sent(echo: Served, words: tuple[str, ...]) -> None:
    told = sizewise(*words, home=echo.home)
    assert told.code == 2 and f"is {words[-1]}" in told.err and "use a number, such as 7" in told.err
