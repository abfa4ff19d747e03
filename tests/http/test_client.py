"""The client on good days: what it sends, what it reads, which connections it keeps. On both event loops."""

from __future__ import annotations

import asyncio
import random

import pytest

from sizewise.errors import BadRequest, ConfigError, EgressDenied, UpstreamProtocolError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from tests.fakes.raw_server import (
    CHUNKED,
    OK,
    Peer,
    RawServer,
    answers,
    facing,
    get,
    once,
    post,
    said,
)
from tests.timeouts import until


async def test_a_request_arrives_whole_with_the_endpoint_s_headers_and_its_own() -> None:
    async with facing(answers(OK), headers=(("Authorization", "Bearer k"),)) as (raw, endpoint):
        response = await endpoint.request(
            "POST",
            "/chat?a=b",
            b"\x00body",
            [("x-trace", "1")],
            purpose="test",
            data_class="public",
        )
        assert (response.status, await response.read(10)) == (200, b"ok")
        (request,) = raw.seen
        assert request.line == "POST /v1/chat?a=b HTTP/1.1"
        assert request.body == b"\x00body"
        assert request.get("host") == raw.url.removeprefix("http://")
        assert request.get("authorization") == "Bearer k"
        assert request.get("x-trace") == "1"
        assert (request.get("user-agent") or "").startswith("sizewise/")


async def test_one_connection_serves_one_request_after_the_other() -> None:
    replies = (OK, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"HTTP/1.1 204 None\r\n\r\n", OK)
    async with facing(answers(*replies)) as (raw, endpoint):
        assert [await said(endpoint) for _ in replies] == [b"ok", b"abc", b"", b"ok"]
        assert len(raw.peers) == 1


async def test_a_connection_is_not_lent_before_its_response_is_read() -> None:
    async def turn(peer: Peer) -> None:
        while request := await peer.hear():
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + request.body)
            await peer.say(request.body)

    async with facing(turn) as (raw, endpoint):
        first, second = await post(endpoint, b"11"), await post(endpoint, b"22")
        assert len(raw.peers) == 2
        assert (await second.read(10), await first.read(10)) == (b"2222", b"1111")
        third, fourth = await post(endpoint, b"33"), await post(endpoint, b"44")
        assert (await third.read(10), await fourth.read(10)) == (b"3333", b"4444")
        assert len(raw.peers) == 2


async def test_headers_are_found_in_any_case_and_trailers_are_none() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one: 2\r\nx-empty:\r\ntransfer-encoding: chunked\r\n\r\n"

    trailed = head + b"1\r\na\r\n0\r\nx-late: no\r\n\r\n"
    async with facing(answers(trailed, OK)) as (raw, endpoint):
        async with await post(endpoint) as response:
            assert await response.read(9) == b"a"
            assert [response.header(name) for name in ("x-ONE", "X-Empty", "x-late")] == ["1", "", None]
            assert response.headers[:2] == [("x-one", "1"), ("x-one", "2")]
        async with await post(endpoint) as response:
            assert response.headers == [("content-length", "2")]
        assert len(raw.peers) == 1


async def test_chunk_brings_all_that_came_and_nothing_at_the_end() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(CHUNKED + b"".join(b"2\r\n%02d\r\n" % n for n in range(100)))
        await peer.hear()  # never comes: the rest waits for the test
        await peer.say(b"0\r\n\r\n")

    async with facing(turn) as (raw, endpoint), await post(endpoint) as response:
        got = b""
        while len(got) < 200:
            got += await response.read_chunk()
        assert got == b"".join(b"%02d" % n for n in range(100))
        raw.peers[0].writer.write(b"0\r\n\r\n")
        assert [await response.read_chunk(), await response.read_chunk()] == [b"", b""]


@pytest.mark.parametrize("split", ["whole", "bytewise"])
async def test_how_the_bytes_are_cut_makes_no_difference(split: str) -> None:
    whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" + CHUNKED + b"4\r\nwords"[:7]
    whole += b"\r\n2\r\nok\r\n0\r\n\r\n"

    async def turn(peer: Peer) -> None:
        await peer.hear()
        for piece in [whole] if split == "whole" else [bytes([byte]) for byte in whole]:
            await peer.say(piece)
            await asyncio.sleep(0)
        await peer.hear()
        await peer.say(OK)

    async with facing(turn) as (raw, endpoint):
        async with await post(endpoint) as response:
            assert (response.status, response.header("link")) == (200, None)
            assert await response.read(99) == b"wordok"
        assert await said(endpoint) == b"ok"
        assert len(raw.peers) == 1


async def test_a_redirect_comes_back_as_it_is_and_is_not_followed() -> None:
    reply = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n"

    async with facing(answers(reply)) as (raw, endpoint), await post(endpoint) as response:
        assert (response.status, response.header("location")) == (302, "http://169.254.169.254/latest")
        assert await response.read(9) == b""
        assert len(raw.seen) == 1


async def test_head_has_no_body_whatever_length_it_says() -> None:
    async with facing(once(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")) as (_, endpoint):
        async with await get(endpoint, method="HEAD") as response:
            assert (response.header("content-length"), await response.read(9)) == ("5000", b"")


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async with facing(once(b"HTTP/1.1 200 OK\r\n\r\nall ", b"of it")) as (raw, endpoint):
        assert await said(endpoint) == b"all of it"
        assert await said(endpoint) == b"all of it"
        assert len(raw.peers) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        OK + b"HTTP/1.1 2",
        OK + b"noise",
    ],
)
async def test_a_connection_that_closes_or_says_too_much_is_not_used_again(reply: bytes) -> None:
    async with facing(answers(reply)) as (raw, endpoint):
        assert [await said(endpoint), await said(endpoint)] == [b"ok", b"ok"]
        assert len(raw.peers) == 2


async def test_bytes_that_come_late_answer_no_later_question() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(OK)
        if peer.number == 1:
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
            await peer.left()

    async with facing(turn) as (raw, endpoint):
        assert await said(endpoint) == b"ok"
        await raw.peers[0].gone.wait()
        assert await said(endpoint) == b"ok"


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(OK)
        await peer.left()

    async with facing(turn, idle_s=0.05) as (raw, endpoint):
        assert await said(endpoint) == b"ok"
        async with asyncio.timeout(60):
            await raw.peers[0].gone.wait()


async def test_closing_before_the_end_hangs_up_at_once() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(CHUNKED + b"1\r\na\r\n")
        await peer.left()

    async with facing(turn) as (raw, endpoint):
        response = await post(endpoint)
        assert await response.read_chunk() == b"a"
        response.close()
        response.close()
        async with asyncio.timeout(60):
            await raw.peers[0].gone.wait()
        with pytest.raises(RuntimeError, match="closed before its end"):
            await response.read_chunk()


@pytest.mark.parametrize("when", ["before the head", "within the body"])
async def test_a_reader_that_is_cancelled_hangs_up_at_once(when: str) -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        if when == "within the body":
            await peer.say(CHUNKED + b"1\r\na\r\n")
        await peer.left()

    async with facing(turn) as (raw, endpoint):
        reading = asyncio.create_task(said(endpoint))
        await until(lambda: raw.seen)
        await asyncio.sleep(0.01)
        reading.cancel()
        async with asyncio.timeout(60):
            await raw.peers[0].gone.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_finish_keeps_a_connection_whose_end_comes_soon() -> None:
    async def turn(peer: Peer) -> None:
        while await peer.hear():
            await peer.say(CHUNKED + b"6\r\n[DONE]\r\n")
            await asyncio.sleep(0.01)
            await peer.say(b"0\r\n\r\n")

    async with facing(turn, pool=1) as (raw, endpoint):
        for _ in range(3):
            response = await post(endpoint)
            assert await response.read_chunk() == b"[DONE]"
            response.release()
        assert len(raw.peers) == 1


async def test_finish_hangs_up_on_a_stream_that_goes_on() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(CHUNKED + b"6\r\n[DONE]\r\n")
        while True:
            await peer.say(b"400\r\n" + bytes(1024) + b"\r\n")

    async with facing(turn) as (raw, endpoint):
        response = await post(endpoint)
        await response.read_chunk()
        response.release()
        async with asyncio.timeout(60):
            await raw.peers[0].gone.wait()


async def test_a_slow_reader_holds_the_upstream_back_and_loses_nothing() -> None:
    block, blocks, sent = bytes(range(256)) * 1024, 256, [0]  # 64 MiB

    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(block) * blocks))
        for _ in range(blocks):
            await peer.say(block)
            sent[0] += len(block)

    async with facing(turn) as (_, endpoint), await post(endpoint, between_bytes=0.2) as response:
        size, before = 0, -1
        while sent[0] != before:  # until the upstream stands still
            before = sent[0]
            await asyncio.sleep(0.3)  # longer than the silence allowed, which is ours
        assert before < 32 << 20
        while data := await response.read_chunk():
            assert data[0] == size % 256
            size += len(data)
        assert size == len(block) * blocks


async def test_a_body_beyond_the_limit_is_refused() -> None:
    async with facing(answers(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n" + bytes(11))) as (_, endpoint):
        assert await (await post(endpoint)).read(11) == bytes(11)
        with pytest.raises(UpstreamProtocolError, match="larger than 10 bytes"):
            await (await post(endpoint)).read(10)


async def test_a_full_pool_makes_others_wait_in_order_and_never_opens_more() -> None:
    async def turn(peer: Peer) -> None:
        while request := await peer.hear():
            await asyncio.sleep(0.001)
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(request.body) + request.body)

    async with facing(turn, pool=1) as (raw, endpoint):
        bodies = [b"%d" % number for number in range(40)]
        assert await asyncio.gather(*(said(endpoint, body) for body in bodies)) == bodies
        assert len(raw.peers) == 1
        assert [request.body for request in raw.seen] == bodies


async def test_many_at_once_get_their_own_answers_also_when_some_leave() -> None:
    chance = random.Random(7)

    async def turn(peer: Peer) -> None:
        while request := await peer.hear():
            whole = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(request.body) * 50, request.body * 50)
            cut = chance.randrange(len(whole))
            await peer.say(whole[:cut])
            await asyncio.sleep(chance.random() / 200)
            await peer.say(whole[cut:])

    async with facing(turn, pool=8) as (_, endpoint):

        async def one(number: int) -> bool:
            body = b"<%d>" % number
            asked = asyncio.create_task(said(endpoint, body))
            if number % 5 == 0:
                await asyncio.sleep(chance.random() / 20)
                asked.cancel()
            await asyncio.wait([asked])
            return asked.cancelled() or asked.result() == body * 50

        assert all(await asyncio.gather(*(one(number) for number in range(1, 301))))
        assert await said(endpoint, b"last") == b"last" * 50


async def test_where_egress_says_no_no_connection_is_made() -> None:
    async with (
        RawServer(answers(OK)) as raw,
        HttpClient(EgressPolicy({raw.url: "anyone"}, {"internal": "machine"})) as client,
    ):
        with pytest.raises(EgressDenied):
            await client.endpoint(raw.url).request("GET", "/", purpose="test", data_class="internal")
        assert not raw.peers


@pytest.mark.parametrize(
    "header",
    [("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x-a", "\0"), ("x a", "1"), ("", "1"), ("x:", "1"), ("x-a", "\u20ac")],
)
async def test_a_header_that_breaks_out_of_its_line_is_refused_unshown(header: tuple[str, str]) -> None:
    client = HttpClient(EgressPolicy({"http://localhost:9": "machine"}, {"public": "anyone"}))
    with pytest.raises(ConfigError) as refused:
        client.endpoint("http://localhost:9", [header])
    assert header[1] not in refused.value.message or header[1] == "1"
    with pytest.raises(BadRequest):
        await _ask(client, "/", header)


@pytest.mark.parametrize("path", ["", "chat", "/a b", "/a\r\nx: y", "/\u00e9"])
async def test_a_path_that_breaks_the_request_line_is_refused(path: str) -> None:
    client = HttpClient(EgressPolicy({"http://localhost:9": "machine"}, {"public": "anyone"}))
    with pytest.raises(BadRequest):
        await _ask(client, path, ("x-a", "1"))


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "HOST", "Connection"])
def test_framing_is_ours_alone(name: str) -> None:
    client = HttpClient(EgressPolicy({}, {}))
    with pytest.raises(ConfigError):
        client.endpoint("http://localhost:9", [(name, "1")])


async def _ask(client: HttpClient, path: str, header: tuple[str, str]) -> None:
    endpoint = client.endpoint("http://localhost:9")
    await endpoint.request("GET", path, headers=[header], purpose="test", data_class="public", timeouts=HttpTimeouts())


async def test_ipv6_is_spoken() -> None:
    try:
        async with facing(answers(OK), host="::1") as (raw, endpoint):
            assert await said(endpoint) == b"ok"
            assert raw.seen[0].get("host") == f"[::1]:{raw.port}"
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_a_retired_client_ends_what_runs_and_keeps_nothing() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(CHUNKED + b"1\r\na\r\n")
        await asyncio.sleep(0.01)
        await peer.say(b"1\r\nb\r\n0\r\n\r\n")
        await peer.left()

    async with (
        RawServer(turn) as raw,
        HttpClient(EgressPolicy({raw.url: "machine"}, {"public": "anyone"})) as client,
    ):
        response = await post(client.endpoint(raw.url))
        client.drain()
        assert await response.read(9) == b"ab"
        async with asyncio.timeout(60):
            await raw.peers[0].gone.wait()
