"""The client over TLS and by proxies: whom it trusts, what a proxy gets to see. On both event loops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from sizewise.data_class import Place
from sizewise.errors import ConfigError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.http.proxies import ProxyConfig
from tests.fakes.raw_server import (
    CA,
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


async def test_a_trusted_server_is_spoken_to_and_its_connection_kept() -> None:
    async with facing(answers(OK), secure=True) as (raw, endpoint):
        assert [await said(endpoint) for _ in range(3)] == [b"ok"] * 3
        assert (len(raw.peers), len(raw.seen)) == (1, 3)


async def test_a_megabyte_goes_and_comes_over_tls() -> None:
    body = bytes(range(256)) * 4096

    async def turn(peer: Peer) -> None:
        request = await peer.hear()
        await peer.say(CHUNKED + b"%x\r\n" % len(request.body) + request.body + b"\r\n0\r\n\r\n")

    async with facing(turn, secure=True) as (_, endpoint):
        assert await said(endpoint, body) == body


async def test_an_unknown_authority_is_refused_with_the_setting_that_helps() -> None:
    async with facing(answers(OK), secure=True, ca=None) as (raw, endpoint):
        with pytest.raises(UpstreamUnreachable, match=f"localhost:{raw.port} is not trusted") as refused:
            await said(endpoint)
        assert "`ca` in [network]" in refused.value.hint
        assert not raw.seen


async def test_a_certificate_of_another_name_is_refused() -> None:
    async with RawServer(answers(OK), secure=True, host="127.0.0.2") as raw:
        url = f"https://127.0.0.2:{raw.port}"
        async with HttpClient(EgressPolicy({url: "machine"}, {"public": "anyone"}), ca_file=CA) as client:
            with pytest.raises(UpstreamUnreachable, match="not trusted"):
                await said(client.endpoint(url))
        assert not raw.seen


async def test_https_to_a_plain_server_is_no_tls() -> None:
    async def turn(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawServer(turn) as raw:
        url = f"https://localhost:{raw.port}"
        async with HttpClient(EgressPolicy({url: "machine"}, {"public": "anyone"}), ca_file=CA) as client:
            with pytest.raises(UpstreamUnreachable, match=f"localhost:{raw.port}"):
                await said(client.endpoint(url))


async def test_a_reset_is_no_end_over_tls_either() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await until(lambda: read)
        peer.reset()

    read: list[bytes] = []

    async with facing(turn, secure=True) as (_, endpoint), await post(endpoint) as response:
        read.append(await response.read_chunk())
        with pytest.raises(UpstreamProtocolError):
            await response.read_chunk()


async def test_tls_closed_properly_ends_a_body_without_length() -> None:
    async with facing(once(b"HTTP/1.1 200 OK\r\n\r\n", b"all"), secure=True) as (_, endpoint):
        assert await said(endpoint) == b"all"


async def test_leaving_early_is_seen_over_tls_too() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.say(CHUNKED + b"1\r\na\r\n")
        await peer.left()

    async with facing(turn, secure=True) as (raw, endpoint):
        response = await post(endpoint)
        response.close()
        await until(raw.peers[0].gone.is_set)


@pytest.mark.parametrize("ca", [Path("/nowhere/ca.pem"), Path(__file__)])
def test_a_file_without_certificates_is_named(ca: Path) -> None:
    with pytest.raises(ConfigError, match=ca.name):
        HttpClient(EgressPolicy({}, {}), ca_file=ca).endpoint("https://localhost:9")


# By a proxy


def forwards(to: RawServer, reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Turn:
    """A proxy that answers CONNECT by `reply` and then connects to `to`, whatever the name asked for."""

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
        sink.close()

    async def turn(peer: Peer) -> None:
        await peer.hear()
        reader, writer = await asyncio.open_connection(to.host, to.port)
        await peer.say(reply)
        try:
            await asyncio.gather(carry(peer.reader, writer), carry(reader, peer.writer))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    return turn


def client_by(proxy: RawServer, url: str, place: Place = "anyone") -> HttpClient:
    by = proxy.url.replace("://", "://me:p%40ss@")
    return HttpClient(EgressPolicy({url: place}, {"public": "anyone"}), ca_file=CA, proxies=ProxyConfig(by, by))


@pytest.mark.parametrize("secure_proxy", [False, True])
async def test_https_goes_through_a_tunnel_that_sees_host_and_port_only(secure_proxy: bool) -> None:
    async with RawServer(answers(OK), secure=True) as raw, RawServer(forwards(raw), secure=secure_proxy) as proxy:
        url = f"https://models.example:{raw.port}"
        async with client_by(proxy, url) as client:
            endpoint = client.endpoint(url, [("authorization", "Bearer k")])
            assert [await said(endpoint) for _ in range(2)] == [b"ok"] * 2
        assert [request.line for request in proxy.seen] == [f"CONNECT models.example:{raw.port} HTTP/1.1"]
        assert proxy.seen[0].get("proxy-authorization") == "Basic bWU6cEBzcw=="
        assert proxy.seen[0].get("authorization") is None
        assert raw.seen[0].get("proxy-authorization") is None


async def test_plain_http_is_handed_to_the_proxy_with_the_whole_url() -> None:
    async with RawServer(answers(OK)) as proxy, client_by(proxy, "http://models.example:8000") as client:
        endpoint = client.endpoint("http://models.example:8000/v1")
        assert await said(endpoint) == b"ok"
        assert proxy.seen[0].line == "POST http://models.example:8000/v1/chat HTTP/1.1"
        assert proxy.seen[0].get("host") == "models.example:8000"
        assert proxy.seen[0].get("proxy-authorization") == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "requires a password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused to connect to models.example:443: '403'"),
        (b"nonsense\r\n\r\n", "refused to connect"),
        (b"", "closed the connection to"),
    ],
)
async def test_a_proxy_that_refuses_is_named_without_its_password(reply: bytes, words: str) -> None:
    async with RawServer(once(reply)) as proxy, client_by(proxy, "https://models.example") as client:
        with pytest.raises(UpstreamUnreachable, match=words) as refused:
            await get(client.endpoint("https://models.example"))
        assert "p@ss" not in str(refused.value) and "p%40ss" not in str(refused.value)


async def test_a_proxy_that_says_nothing_is_waited_for_as_long_as_to_connect() -> None:
    async def turn(peer: Peer) -> None:
        await peer.hear()
        await peer.left()

    async with RawServer(turn) as proxy, client_by(proxy, "https://models.example") as client:
        with pytest.raises(UpstreamTimeout, match=r"no connection to models.example:443 within 0\.1 s"):
            await post(client.endpoint("https://models.example"), connect=0.1)
        await until(proxy.peers[0].gone.is_set)


@pytest.mark.parametrize(
    ("url", "place"),
    [("http://name-of-this-machine.invalid:9", "machine"), ("http://127.0.0.1:9", "anyone")],
)
async def test_what_runs_on_this_machine_never_goes_by_a_proxy(url: str, place: Place) -> None:
    async with RawServer(answers(OK)) as proxy, client_by(proxy, url, place) as client:
        with pytest.raises((UpstreamUnreachable, UpstreamTimeout)):
            await post(client.endpoint(url), connect=1.0)
        assert not proxy.peers
