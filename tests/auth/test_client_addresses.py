"""Where a client is: told by the connection, and by a proxy only where the settings name it; keys and tries obey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.app.services import open_services
from sizewise.auth.browser_security import client_address
from sizewise.auth.users.login_throttle import LoginThrottle
from sizewise.errors import Busy
from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Answer, Served, serving

CHAT = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """As if this machine were the proxy, and 10.0.0.0/8 another one before it."""
    config = ECHO.replace("[server]", '[server]\ntrusted_proxies = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"]')
    with serving(tmp_path_factory.mktemp("behind"), config) as served:
        yield served


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("bare")) as served:
        yield served


def confined(server: Served, *networks: str) -> str:
    query = 'mutation($n: [String!]) { createKey(name: "t", permissions: [ask], networks: $n) { secret } }'
    return str(graphql(server, query, n=list(networks)).data["createKey"]["secret"])


def ask(server: Served, key: str, said: str, endpoint: str = "chat") -> Answer:
    if endpoint == "graphql":
        return server.ask("/graphql", {"query": "{ me { key } }"}, key=key, x_forwarded_for=said)
    return server.ask("/v1/chat/completions", CHAT, key=key, x_forwarded_for=said)


@pytest.mark.parametrize("endpoint", ["chat", "graphql"])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("203.0.113.9", 200),
        ("198.51.100.1, 203.0.113.9", 200),  # what stands before it may be made up
        ("203.0.113.9, 198.51.100.1", 403),
        ("203.0.113.9, 10.1.2.3", 200),  # by two proxies of ours
        ("10.1.2.3", 403),
        ("", 403),
        ("nonsense", 403),
        ("203.0.113.9, nonsense", 403),
        ("203.0.113.9:8080", 403),  # as no proxy of these writes it
        (", ,203.0.113.9, ,", 200),
    ],
)
def test_behind_a_proxy_a_key_is_good_from_its_network(behind: Served, endpoint: str, said: str, status: int) -> None:
    assert ask(behind, confined(behind, "203.0.113.0/24"), said, endpoint).status == status


@pytest.mark.parametrize("endpoint", ["chat", "graphql"])
def test_without_one_in_the_settings_nobody_says_where_they_are(bare: Served, endpoint: str) -> None:
    assert ask(bare, confined(bare, "203.0.113.0/24"), "203.0.113.9", endpoint).status == 403
    assert ask(bare, confined(bare, "127.0.0.0/8", "::1/128"), "203.0.113.9", endpoint).status == 200


def test_the_header_is_read_from_its_end_and_only_behind_a_proxy() -> None:
    proxies = ("10.0.0.0/8", "2001:db8::/32")
    twice = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2, 2001:db8::7")]
    assert client_address("10.0.0.1", twice, proxies) == "2.2.2.2"
    assert client_address("::ffff:10.0.0.1", twice, proxies) == "2.2.2.2"
    assert client_address("9.9.9.9", twice, proxies) == "9.9.9.9"
    assert client_address("10.0.0.1", twice, ()) == "10.0.0.1"
    assert client_address("10.0.0.1", [], proxies) == "10.0.0.1"
    assert client_address("", twice, proxies) == ""


@pytest.mark.long
def test_guesses_from_one_address_are_slowed_down_and_not_those_from_another(behind: Served) -> None:
    victim = new_user(behind, "victim@example.com", "viewer").said["email"]
    sent = {"email": victim, "password": "not the right sentence"}

    def guess(said: str) -> int:
        return Browser(behind).send("/auth/sign-in", sent, {"x-forwarded-for": said}).status

    assert [guess("203.0.113.1") for _ in range(11)] == [401] * 10 + [429]
    assert guess("203.0.113.2") == 401
    assert [guess(f"2001:db9::{n:x}") for n in range(11)] == [401] * 10 + [429], "one network of IPv6 is one address"


async def test_clients_of_ipv4_on_a_socket_of_ipv6_are_counted_apart(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        read, write = services.storage.database.read_transaction, services.storage.writer.run_transaction
        throttle = LoginThrottle("test", read, write, limits=(2, 3, 4))

        for _ in range(4):
            await throttle.record_attempt("", "::ffff:192.0.2.1")
        with pytest.raises(Busy):
            await throttle.record_attempt("", "192.0.2.1")
        await throttle.record_attempt("", "::ffff:192.0.2.2")


def test_a_proxy_that_is_no_network_is_refused_at_start(bare: Served) -> None:
    file = bare.home / "wrong.toml"
    file.write_text('[server]\ntrusted_proxies = ["10.0.0.1/8"]\n')
    done = sizewise("up", "--port", "0", "--config", str(file), home=bare.home)
    assert done.code == 2 and "server.trusted_proxies[0]: '10.0.0.1/8' is not a network" in done.err
    assert admin(bare) not in done.err
