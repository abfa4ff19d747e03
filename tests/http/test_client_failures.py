"""The client on bad days: servers that refuse, hang, cut, lie or flood. On both event loops."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from sizewise.errors import Busy, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from tests.fakes.raw_server import (
    CHUNKED,
    OK,
    Peer,
    RawServer,
    Turn,
    answers,
    facing,
    get,
    once,
    post,
    said,
)
from tests.timeouts import until


async def test_a_closed_port_is_named_and_the_path_is_not() -> None:
    async with facing(answers(OK)) as (raw, _):
        pass  # closed now, and so free
    async with HttpClient(EgressPolicy({raw.url: "machine"}, {"public": "anyone"})) as client:
        with pytest.raises(UpstreamUnreachable, match="connection refused") as refused:
            await client.endpoint(raw.url).request("GET", "/secret-path", purpose="test", data_class="public")
        assert f"127.0.0.1:{raw.port}" in refused.value.message
        assert "secret" not in refused.value.message


async def test_a_host_that_cannot_have_an_address_is_named() -> None:
    url = f"http://{'a' * 64}.example"

    async with HttpClient(EgressPolicy({url: "anyone"}, {"public": "anyone"})) as client:
        with pytest.raises(UpstreamUnreachable, match="cannot be resolved"):
            await client.endpoint(url).request("GET", "/", purpose="test", data_class="public")


async def _closes(peer: Peer) -> None:
    await peer.hear()


async def _resets(peer: Peer) -> None:
    await peer.hear()
    peer.reset()


@pytest.mark.parametrize("turn", [_closes, _resets])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_new_connection_without_an_answer_is_not_asked_twice(turn: Turn, method: str) -> None:
    async with facing(turn) as (raw, endpoint):
        with pytest.raises(UpstreamUnreachable, match="without a response"):
            await get(endpoint, method=method)
        assert len(raw.seen) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        CHUNKED + b"5\r\n",
        CHUNKED,
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HT",
    ],
)
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_answer_cut_short_is_never_an_end(head: bytes, how: str) -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(head + (b"abc" if head.endswith(b"\n") and head != CHUNKED else b""))
        await until(lambda: cut.is_set())
        if how == "reset":
            peer.reset()

    cut = asyncio.Event()

    async with facing(turn) as (_, endpoint):
        asyncio.get_running_loop().call_later(0.02, cut.set)
        with pytest.raises(UpstreamProtocolError, match="in the middle of its response"):
            await said(endpoint)


async def test_what_came_before_a_cut_is_read_before_the_error() -> None:
    async with facing(once(CHUNKED + b"3\r\nabc\r\n")) as (_, endpoint), await post(endpoint) as response:
        assert await response.read_chunk() == b"abc"
        for _ in range(2):
            with pytest.raises(UpstreamProtocolError):
                await response.read_chunk()


async def test_a_reset_is_no_end_where_only_the_close_ends_the_body() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await until(lambda: read)
        peer.reset()

    read: list[bytes] = []

    async with facing(turn) as (_, endpoint), await post(endpoint) as response:
        read.append(await response.read_chunk())
        with pytest.raises(UpstreamProtocolError):
            await response.read_chunk()


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>captive portal</html>\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok",
        CHUNKED + b"zz\r\nok\r\n",
        CHUNKED + b"2\r\nokay\r\n",
        CHUNKED + b"fffffffffffffffff\r\nok\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"x-many: 1\r\n" * 10_000 + b"content-length: 2\r\n\r\nok",
    ],
)
async def test_what_is_no_http_is_garbled(reply: bytes) -> None:
    async with facing(once(reply)) as (_, endpoint):
        with pytest.raises(UpstreamProtocolError, match=r"127\.0\.0\.1"):
            await said(endpoint)


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"x: a\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"1;x=", b"a"),
        (CHUNKED + b"0\r\nx: ", b"a"),
        (CHUNKED + b"0\r\n", b"x: a\r\n"),
    ],
)
async def test_a_head_or_trailer_without_end_is_cut_off(begin: bytes, again: bytes) -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(begin)
        while True:
            await peer.say(again * 1000)

    async with facing(turn) as (_, endpoint):
        with pytest.raises(UpstreamProtocolError, match="bytes of headers"):
            await said(endpoint)


async def test_who_speaks_without_being_asked_is_not_asked() -> None:
    async def turn(peer: Peer) -> None:
        await peer.say(b"220 mail.example ESMTP\r\n")
        await peer.left()

    async with facing(turn) as (_, endpoint):
        with pytest.raises(UpstreamProtocolError):
            await said(endpoint)


# Kept connections that the server has given up


async def test_a_connection_closed_while_idle_is_replaced_and_nothing_is_sent_twice() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(OK)  # and closes, without having said so

    async with facing(turn) as (raw, endpoint):
        for _ in range(50):
            assert await said(endpoint) == b"ok"
        assert len(raw.seen) == 50


async def test_a_server_that_was_started_anew_is_asked_again() -> None:
    async with facing(answers(OK)) as (raw, endpoint):
        await asyncio.gather(*(said(endpoint) for _ in range(5)))
        for peer in raw.peers:
            peer.reset()
        await until(lambda: all(peer.gone.is_set() for peer in raw.peers))
        assert [await said(endpoint) for _ in range(5)] == [b"ok"] * 5


async def test_a_connection_closed_this_very_moment_is_seen_as_closed() -> None:
    """Closed while our event loop is busy elsewhere: only the kernel knows."""
    close, closed = threading.Event(), threading.Event()

    def serve(listening: socket.socket) -> None:
        for _ in range(2):
            peer = listening.accept()[0]
            assert peer.recv(65_536)
            peer.sendall(OK)
            close.wait(60)
            peer.close()
            closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(serve, listening))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with HttpClient(EgressPolicy({url: "machine"}, {"public": "anyone"})) as client:
            endpoint = client.endpoint(url)
            assert await said(endpoint) == b"ok"
            close.set()
            closed.wait(60)
            assert await said(endpoint) == b"ok"
        await serving


def _second_unanswered(how: str) -> Turn:
    """The first connection answers once, reads a second request, and hangs up without a word."""

    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(OK)
        await peer.hear()
        if peer.number > 1:
            await peer.say(OK)
        elif how == "reset":
            peer.reset()

    return turn


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_post_that_may_have_been_worked_on_is_not_sent_again(how: str) -> None:
    async with facing(_second_unanswered(how)) as (raw, endpoint):
        assert await said(endpoint) == b"ok"
        with pytest.raises(UpstreamUnreachable, match="without a response"):
            await said(endpoint)
        assert len(raw.seen) == 2
        assert await said(endpoint) == b"ok"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_get_is_sent_again_on_a_new_connection(how: str) -> None:
    async with facing(_second_unanswered(how)) as (raw, endpoint):
        for _ in range(2):
            async with await get(endpoint) as response:
                assert await response.read(9) == b"ok"
        assert (len(raw.seen), len(raw.peers)) == (3, 2)


# Deadlines


async def _silent(peer: Peer) -> None:
    await peer.hear()
    await peer.left()


async def _drips(peer: Peer) -> None:
    await peer.hear()
    await peer.say(CHUNKED)
    while True:
        await peer.say(b"1\r\na\r\n")
        await asyncio.sleep(0.01)


async def _drips_head(peer: Peer) -> None:
    await peer.hear()
    await peer.say(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.say(b"x: a\r\n")
        await asyncio.sleep(0.01)


async def _stops(peer: Peer) -> None:
    await peer.hear()
    await peer.say(CHUNKED + b"1\r\na\r\n")
    await peer.left()


@pytest.mark.parametrize(
    ("turn", "deadline", "words"),
    [
        (_silent, "first_byte", "sent no response within 0.1 s"),
        (_drips_head, "first_byte", "sent no response within 0.1 s"),
        (_stops, "between_bytes", "sent nothing for 0.1 s"),
        (_silent, "total", "did not finish within 0.1 s"),
        (_drips, "total", "did not finish within 0.1 s"),
    ],
)
async def test_a_deadline_that_passes_is_named_and_the_upstream_let_go(
    turn: Turn,
    deadline: str,
    words: str,
) -> None:
    async def second(peer: Peer) -> None:
        await peer.hear()
        await peer.say(OK)
        await turn(peer)

    async with facing(second) as (raw, endpoint):
        assert await said(endpoint) == b"ok"  # connected: on a busy machine to connect takes the 0.1 s by itself
        begun = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamTimeout, match=words):
            await said(endpoint, b"{}", **{deadline: 0.1})
        assert asyncio.get_running_loop().time() - begun > 0.09
        await until(raw.peers[0].gone.is_set)


async def test_a_deadline_far_off_does_not_hide_a_near_one() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(OK)
        await peer.hear()
        await peer.left()

    async with facing(turn) as (raw, endpoint):
        assert await said(endpoint, first_byte=60.0) == b"ok"
        with pytest.raises(UpstreamTimeout):
            await said(endpoint, first_byte=0.05)
        assert len(raw.peers) == 1


async def test_a_full_pool_is_waited_for_no_longer_than_to_connect() -> None:
    async with facing(_stops, pool=1) as (_, endpoint):
        async with await post(endpoint):
            with pytest.raises(Busy, match=r"are in use, and none became free within 0\.05 s") as refused:
                await post(endpoint, connect=0.05)
            assert refused.value.retry_after == 1
        with pytest.raises(UpstreamTimeout, match="sent nothing for"):  # the place is free again
            await said(endpoint, between_bytes=0.05)


async def test_who_would_wait_longer_than_to_connect_by_the_measured_pace_is_told_at_once() -> None:
    """The line moves once in 0.2 s. Whoever waited would be refused with other words, and later."""

    async def turn(peer: Peer) -> None:
        while await peer.hear():
            await asyncio.sleep(0.2)
            await peer.say(OK)

    async with facing(turn, pool=1) as (_, endpoint):
        waiting = [asyncio.create_task(said(endpoint)) for _ in range(4)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(Busy, match="are in use, and none becomes free for about") as refused:
            await post(endpoint, connect=0.15)
        assert refused.value.retry_after == 1
        assert await asyncio.gather(*waiting) == [b"ok"] * 4
        assert await said(endpoint) == b"ok", "the line is gone"


async def test_who_gives_up_waiting_leaves_his_place_to_the_next() -> None:
    async with facing(answers(OK), pool=1) as (raw, endpoint):
        first = await post(endpoint)
        waiting = [asyncio.create_task(said(endpoint)) for _ in range(6)]
        await asyncio.sleep(0)
        first.close()  # gives its connection to the first in line
        for task in waiting[::2]:
            task.cancel()
        got = await asyncio.gather(*waiting, return_exceptions=True)
        assert got[1::2] == [b"ok"] * 3
        assert len(raw.peers) <= 4


async def test_closing_the_client_hangs_up_on_everyone() -> None:
    async with (
        RawServer(_stops) as raw,
        HttpClient(EgressPolicy({raw.url: "anyone"}, {"public": "anyone"})) as client,
    ):
        response = await post(client.endpoint(raw.url))
        assert await response.read_chunk() == b"a"
        await client.close()
        async with asyncio.timeout(60):
            await raw.peers[0].gone.wait()
        with pytest.raises(UpstreamProtocolError):
            await response.read_chunk()
