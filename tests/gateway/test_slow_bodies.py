"""Clients with a valid key whose bodies come slowly: each has a rate and a time to keep, and all together a memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.server_harness import CHAT, Line, question
from tests.graphql.graphql_client import admin
from tests.lessons.conftest import memory
from tests.running_server import ECHO, Answer, Served, serving, until

MB = 1 << 20
PATHS = (CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/messages/count_tokens", "/graphql")


def settings(more: str, fast: bool = True) -> str:
    return ECHO.replace("[server]", f"[server]\nfast_path = {str(fast).lower()}\n{more}")


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "asgi"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Room for 4 MB of bodies, of 1 MB each."""
    config = settings(f"max_body_bytes = {MB}\nmax_total_body_bytes = {4 * MB}\n", request.param)
    with serving(tmp_path_factory.mktemp("small"), config) as served:
        yield served


def begun(served: Served, path: str, size: int, sent: int, *more: str) -> Line:
    """A client that has sent `sent` of `size` bytes of its body."""
    line = Line(served)
    key = admin(served) if path == "/graphql" else served.key
    heads = (f"content-length: {size}", f"authorization: Bearer {key}", "content-type: application/json", *more)
    with contextlib.suppress(OSError):  # refused and closed while it was sending
        line.say(line.request(path, b"", *heads) + b" " * sent)
    return line


def held(served: Served) -> int:
    """Bytes of bodies that the server holds."""
    text = served.ask("/metrics").body.decode()
    return int(float(text.partition("\nsizewise_request_body_bytes ")[2].partition("\n")[0]))


def code(answer: Answer) -> str:
    """Our code, whichever shape the error has."""
    shown = json.loads(answer.body)
    error = shown["errors"][0]["extensions"] if "errors" in shown else shown["error"]
    return str(error.get("code") or error["type"])


@contextlib.contextmanager
def full(served: Served) -> Iterator[None]:
    """Four clients hold 4 MB but for four bytes, and wait."""
    until(lambda: held(served) == 0)
    with contextlib.ExitStack() as lines:
        for _ in range(4):
            lines.enter_context(begun(served, CHAT, MB, MB - 1))
        until(lambda: held(served) == 4 * (MB - 1))
        yield
    until(lambda: held(served) == 0)


@pytest.mark.parametrize("path", PATHS)
def test_bodies_beyond_the_memory_are_503_with_a_time_on_every_endpoint(small: Served, path: str) -> None:
    with full(small), begun(small, path, MB, MB // 2) as line:
        answer = line.answer()
        assert (answer.status, code(answer)) in ((503, "busy"), (503, "rate_limit_error"), (503, "BUSY")), answer.body
        assert path == "/graphql" or answer.headers["retry-after"] == "1"
        assert small.chat("small").status == 200, "a small body has room"


def test_chunked_bodies_are_counted_too(small: Served) -> None:
    with full(small), Line(small) as line:
        line.say(line.request(CHAT, b"", "transfer-encoding: chunked", length=False))
        line.say(b"%x\r\n" % (MB // 2) + b" " * (MB // 2) + b"\r\n")
        assert line.answer().status == 503


@pytest.mark.long
@pytest.mark.parametrize("end", ["answered", "refused", "left in the middle", "left behind another request"])
def test_the_memory_is_free_again_however_a_body_ends(small: Served, end: str) -> None:
    body = question("x" * (MB - 200), "echo/small")
    for _ in range(8):  # 8 MB in all
        if end == "left in the middle":
            begun(small, CHAT, MB, MB - 1).__exit__()
        elif end == "refused":
            with begun(small, CHAT, MB - 5, MB - 8) as line:
                line.say(b"no}")
                assert line.answer().status == 400
        elif end == "left behind another request":
            with Line(small) as line:
                line.say(line.request(CHAT, question("[[slow 0.05]]", "echo/small")) + line.request(CHAT, body)[:-5])
        else:
            with Line(small) as line:
                line.say(line.request(CHAT, body))
                assert line.answer().status == 200
        until(lambda: held(small) == 0)


@pytest.mark.long
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "asgi"])
def test_a_body_that_trickles_is_408_before_its_time_is_over_on_every_endpoint(tmp_path: Path, fast: bool) -> None:
    with serving(tmp_path, settings("body_timeout_s = 2\n", fast)) as served, contextlib.ExitStack() as opened:
        lines = {path: opened.enter_context(begun(served, path, 1_000, 10)) for path in PATHS}
        for path, line in lines.items():
            answer = line.answer()
            assert (path, answer.status) == (path, 408), answer.body
            assert b"less than 240 bytes/s" in answer.body, "its rate is the reason, not its two seconds"
            assert line.ended()


@pytest.mark.long
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "asgi"])
def test_without_a_least_rate_only_the_time_counts(tmp_path: Path, fast: bool) -> None:
    more = "body_timeout_s = 0.4\nmin_body_bytes_per_s = 0\n"
    with serving(tmp_path, settings(more, fast)) as served, begun(served, CHAT, 1_000, 10) as line:
        answer = line.answer()
        assert answer.status == 408 and b"did not arrive within 0.4 s" in answer.body


@pytest.mark.long
def test_many_clients_that_trickle_cost_no_more_than_the_memory_for_bodies(tmp_path: Path) -> None:
    """60 clients who each send 8 MB but for the last byte: 480 MB, of which 64 MB are kept."""
    with serving(tmp_path, settings(f"max_total_body_bytes = {64 * MB}\n")) as served:
        assert served.chat("small").status == 200
        before = memory(served)
        with contextlib.ExitStack() as lines:
            for _ in range(60):
                lines.enter_context(begun(served, CHAT, 8 * MB, 8 * MB - 1))
            assert held(served) <= 64 * MB
            assert served.chat("small").status == 200
            grown = memory(served) - before
            assert grown < 3 * 64 * MB, f"{grown / MB:.0f} MB"


@pytest.mark.long
def test_clients_that_stay_after_a_body_too_large_hold_none_of_it(tmp_path: Path) -> None:
    with serving(tmp_path, settings("")) as served, contextlib.ExitStack() as lines:
        assert served.chat("small").status == 200
        before = memory(served)
        for _ in range(20):  # 8 MB each
            line = lines.enter_context(Line(served))
            line.say(line.request(CHAT, b"", "transfer-encoding: chunked", length=False))
            line.say(b"%x\r\n" % (8 * MB + 1) + b" " * (8 * MB + 1) + b"\r\n0\r\n\r\n")
            assert line.answer().status == 413
        assert memory(served) - before < 64 * MB
