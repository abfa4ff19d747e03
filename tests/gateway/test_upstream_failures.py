"""Upstreams that refuse, hang, reset and babble, a full disk, a taken port: one well-formed end, and life goes on."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.forked import command, run
from tests.gateway.server_harness import BAD, CHAT, SECRET, Line, booked, frames, question, rows, words
from tests.running_server import ECHO, Answer, Served, environment, serving, until

WHOLE = {
    "hang": (504, "upstream_timeout"),
    "reset": (502, "upstream_unreachable"),
    "busy": (429, "upstream_busy"),
    "broken": (502, "upstream_error"),
    "refuses": (400, "upstream_refused"),
    "parrot": (400, "upstream_refused"),
    "locked": (502, "upstream_error"),
    "elsewhere": (502, "upstream_error"),
    "hang-mid": (504, "upstream_timeout"),
    "reset-mid": (502, "upstream_garbled"),
    "gone": (502, "upstream_unreachable"),
}
"""Asked in one piece. Whoever is not named here sends what breaks the protocol."""

FLOW = {
    **{fault: end for fault, end in WHOLE.items() if not fault.endswith("-mid")},
    "html": (502, "upstream_garbled"),
    "list": (502, "upstream_garbled"),
    "malformed": (502, "upstream_garbled"),
}
"""Asked for a stream, and gone wrong before the first word. After it, nothing is left but an error event."""

GARBLED = (502, "upstream_garbled")
FAULTS = (*BAD, "gone")


def name(provider: str, fault: str) -> str:
    return f"gone-{provider}/it" if fault == "gone" else f"{provider}/{fault}"


def well_formed(error: dict[str, Any]) -> dict[str, Any]:
    assert set(error) == {"message", "type", "param", "code", "hint", "docs"}
    assert error["message"] and error["hint"], error
    assert SECRET not in json.dumps(error) and "Traceback" not in json.dumps(error)
    return error


def spoken(answer: Answer) -> str:
    shown: Any = answer.json
    text: str = shown["choices"][0]["message"]["content"]
    return text


def no_secret(answer: Answer) -> None:
    assert SECRET.encode() not in answer.body and SECRET not in str(answer.headers)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reply_in_one_piece_that_goes_wrong_is_one_clear_error(server: Served, fault: str) -> None:
    answer = server.chat(name("alone", fault))  # asked by no other test, whose failures would open its circuit
    status, code = WHOLE.get(fault, GARBLED)
    assert (answer.status, answer.error["code"]) == (status, code), answer.body
    well_formed(answer.error)
    no_secret(answer)
    asked = 2 if code == "upstream_unreachable" or fault == "broken" else 1  # what may pass is asked once more
    assert int(answer.headers.get("x-sizewise-attempts", "1")) == asked
    assert answer.headers["x-sizewise-cost-usd"] in ("0", "unknown")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_goes_wrong_ends_once_and_never_as_if_whole(server: Served, fault: str) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, question("x", name("flow", fault), stream=True)))
        answer = line.answer()
        no_secret(answer)
        if fault in FLOW:
            assert (answer.status, answer.error["code"]) == FLOW[fault], answer.body
            well_formed(answer.error)
        else:
            assert answer.status == 200, answer.body
            *said, last = frames(answer.body)
            assert words(said) == "Hel"
            assert well_formed(last["error"])["code"] == "stream_interrupted"
            assert "[DONE]" not in said and all("error" not in each for each in said)
            assert answer.cut and line.ended(), "clients that do not know the event see that it is not whole"
            return
        line.say(line.request(CHAT, question("and on")))  # on the same connection
        assert b"and on" in line.answer().body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_before_the_first_word_the_next_model_answers_and_both_are_booked(
    server: Served,
    fault: str,
    stream: bool,
) -> None:
    first = "second" if stream else "first"
    answer = server.chat(f"auto:{first}-{fault}", "good words", stream=stream)
    assert answer.status == 200, answer.body
    if stream and fault not in FLOW:  # it had spoken already
        assert frames(answer.body)[-1]["error"]["code"] == "stream_interrupted"
        return
    assert answer.headers["x-sizewise-model"] == "echo/large"
    assert (words(frames(answer.body)) if stream else spoken(answer)) == "good words"
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(server.home, trace))
    (record,) = booked(server.home, trace)
    results = [(each["model"], each["result"]) for each in record["tries"]]
    assert results[-1] == ("echo/large", "answered")
    assert len(results) > 1 and all(each == (name(first, fault), "failed") for each in results[:-1])
    assert record["attempts"] == len(results) == int(answer.headers["x-sizewise-attempts"])


def test_an_upstream_that_is_busy_passes_on_for_how_long_and_is_left_alone_meanwhile(
    upstream: FakeOpenAI,
    tmp_path: Path,
) -> None:
    config = f'{ECHO}\n[providers.up]\nbase_url = "{upstream.url}"\nplace = "machine"\nmodels = ["busy", "well"]\n'
    with serving(tmp_path, config) as served:
        answer = served.chat("up/busy")
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        asked = len(upstream.received.bodies)
        again = served.chat("up/busy")
        assert (again.status, again.error["code"]) == (429, "model_unavailable")
        assert "circuit breaker" in again.error["message"] and again.error["hint"]
        assert len(upstream.received.bodies) == asked, "nobody asked it"
        ready = json.loads(served.ask("/readyz", key=None).body)
        assert ready["status"] == "ready" and any("up/busy" in each for each in ready["impaired"])
        assert served.chat("up/well").status == 200, "its neighbours are well"


def test_words_of_an_upstream_s_own_refusal_reach_whoever_can_mend_the_request(server: Served) -> None:
    answer = server.chat("whole/refuses")
    assert answer.error["message"] == "this model takes no images"


def test_a_redirect_is_never_followed(server: Served) -> None:
    assert "redirect" in server.chat("whole/elsewhere").error["message"]


def test_a_provider_whose_key_is_missing_takes_only_itself_out(upstream: FakeOpenAI, tmp_path: Path) -> None:
    row = f'[providers.up]\nbase_url = "{upstream.url}"\nkey = "env:NOBODY_SET_ME"\nmodels = ["well"]\n'
    with serving(tmp_path, ECHO + row) as served:
        answer = served.chat("up/well")
        assert (answer.status, answer.error["code"]) == (503, "model_unavailable")
        assert "NOBODY_SET_ME" in answer.error["message"]
        assert served.chat("echo/small").status == 200
        assert served.ask("/readyz", key=None).status == 200


# ---- the machine ----------------------------------------------------------------------------------------------------


def test_on_a_full_disk_answers_go_on_readyz_says_so_and_nothing_is_lost_in_the_end(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        pid, free = served.process.pid, resource.RLIM_INFINITY
        assert served.chat("echo/small").status == 200
        until(lambda: rows(tmp_path, "SELECT 1 FROM records"))
        size = max(path.stat().st_size for path in tmp_path.glob("sizewise.db*"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, free))  # no file may grow: as a full disk
        traces = []
        while not _cannot_write(served):
            answer = served.chat("echo/small")
            assert answer.status == 200
            traces.append(answer.headers["x-sizewise-trace"])
            assert len(traces) < 2_000
        answer = served.chat("echo/small", stream=True)
        assert frames(answer.body)[-1] == "[DONE]"
        traces.append(answer.headers["x-sizewise-trace"])
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (free, free))
        until(lambda: not _cannot_write(served))
        until(lambda: {row["trace"] for row in rows(tmp_path, "SELECT trace FROM records")} >= set(traces))
        assert not any("Traceback" in line for line in served.said)


def _cannot_write(served: Served) -> bool:
    """A periodic task may be impaired too, until it runs again."""
    answer = served.ask("/readyz", key=None)
    assert answer.status == 200
    return any("cannot write records" in each for each in json.loads(answer.body)["impaired"])


def up(home: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    words = command("up", "--json", "--home", str(home), "--config", str(home / "sizewise.toml"), *more)
    done = run(words, env=environment(), timeout=30)
    return done.returncode, json.loads(done.stdout)["error"], done.stderr


def test_a_taken_port_ends_with_3_and_names_another(echo: Served, tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(ECHO)
    port = int(echo.url.rpartition(":")[2])
    code, error, said = up(tmp_path, "--port", str(port))
    assert (code, error["code"]) == (3, "outside_failed")
    assert str(port) in error["message"] and f"--port {port + 1}" in error["hint"]
    assert "Traceback" not in said


def test_a_second_one_on_the_same_home_is_refused_and_the_first_is_named(echo: Served) -> None:
    code, error, said = up(echo.home, "--port", "0")
    assert code == 3 and str(echo.process.pid) in error["message"] and "--home" in error["hint"]
    assert "Traceback" not in said
    assert echo.chat("echo/small").status == 200


def test_a_home_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    home = tmp_path / "file" / "home"
    words = command("up", "--json", "--port", "0", "--home", str(home))
    done = run(words, env=environment(), timeout=30, cwd=tmp_path)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 3 and str(home) in error["message"] and error["hint"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(ECHO)
    tmp_path.chmod(0o500)
    code, error, _ = up(tmp_path, "--port", "0")
    tmp_path.chmod(0o700)
    assert code == 3 and "writable" in error["hint"]
