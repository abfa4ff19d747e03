"""Which hosts are reached by a proxy: HTTPS_PROXY, HTTP_PROXY and NO_PROXY as people know them."""

from __future__ import annotations

import pytest

from sizewise.http.proxies import ProxyConfig

BY = ProxyConfig(http="http://plain:3128", https="http://tunnel:3128")


def test_each_scheme_has_its_own_proxy() -> None:
    assert BY.proxy_for("http", "example.com", 80) == "http://plain:3128"
    assert BY.proxy_for("https", "example.com", 443) == "http://tunnel:3128"
    assert ProxyConfig().proxy_for("https", "example.com", 443) == ""


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_is_never_reached_by_a_proxy(host: str) -> None:
    assert BY.proxy_for("http", host, 80) == ""


@pytest.mark.parametrize(
    ("rule", "host"),
    [
        ("*", "example.com"),
        ("example.com", "example.com"),
        ("example.com", "api.example.com"),
        (".example.com", "api.example.com"),
        ("*.example.com", "api.example.com"),
        ("EXAMPLE.com ", "example.com"),
        ("example.com:8000", "example.com"),
        ("10.0.0.0/8", "10.2.3.4"),
        ("10.2.3.4", "10.2.3.4"),
        ("10.2.3.4:8000", "10.2.3.4"),
        ("2001:db8::/32", "2001:db8::7"),
        ("[2001:db8::7]:8000", "2001:db8::7"),
    ],
)
def test_no_proxy_covers(rule: str, host: str) -> None:
    assert ProxyConfig(http="http://p:1", no_proxy=("other.example", rule)).proxy_for("http", host, 8000) == ""


@pytest.mark.parametrize(
    ("rule", "host"),
    [
        ("", "example.com"),
        (".", "example.com"),
        ("example.com", "badexample.com"),
        ("example.com", "example.com.evil"),
        ("example.com:443", "example.com"),
        ("10.0.0.0/8", "11.2.3.4"),
        ("10.0.0.0/8", "10.example.com"),
        ("com.", "example.com"),
    ],
)
def test_no_proxy_does_not_cover(rule: str, host: str) -> None:
    assert ProxyConfig(http="http://p:1", no_proxy=(rule,)).proxy_for("http", host, 8000) == "http://p:1"


def test_a_proxy_s_password_is_not_shown() -> None:
    assert "secret" not in repr(ProxyConfig("http://me:secret@p:1", "http://me:secret@p:1"))
