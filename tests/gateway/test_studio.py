"""The studio at the front door: one page under known addresses, files for ever, nothing from elsewhere."""

from __future__ import annotations

import gzip
import re

import pytest

from sizewise.gateway import studio
from tests.running_server import Served


def page(server: Served) -> str:
    answer = server.ask("/", key=None)
    assert answer.status == 200
    return answer.body.decode()


def test_every_address_of_the_studio_is_one_page_that_asks_again_each_time(echo: Served) -> None:
    for path in studio.PAGES:
        answer = echo.ask(re.sub(r"\{body(:path)?\}", "x", path), key=None)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.body == echo.ask("/", key=None).body
        assert echo.ask(path, key=None, if_none_match=answer.headers["etag"]).status == 304


def test_its_files_are_kept_for_ever_and_compressed_where_the_browser_can(echo: Served) -> None:
    names = re.findall(r'"/studio/([^"]+)"', page(echo))
    assert len(names) >= 3
    for name in names:
        plain = echo.ask(f"/studio/{name}", key=None)
        packed = echo.ask(f"/studio/{name}", key=None, accept_encoding="gzip, br")
        assert plain.status == packed.status == 200
        assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
        assert "immutable" in plain.headers["cache-control"] and plain.headers["vary"] == "accept-encoding"
        assert plain.headers["x-content-type-options"] == "nosniff"


def test_no_script_or_style_runs_but_its_own_and_text_never_becomes_markup(echo: Served) -> None:
    for path in ("/", *re.findall(r'"(/studio/[^"]+)"', page(echo))):
        policy = echo.ask(path, key=None).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy


@pytest.mark.parametrize(
    "path",
    ["/studio/index.html", "/studio/SOURCES", "/studio/nothing.js", "/studio/..%2Fapp", "/nothing", "/studio"],
)
def test_all_else_is_not_found(echo: Served, path: str) -> None:
    answer = echo.ask(path, key=None)
    assert answer.status == 404 and answer.error["code"] == "not_found"


def test_it_is_for_known_hosts_alone(echo: Served) -> None:
    assert echo.ask("/", key=None, host="evil.example").status == 403
    assert echo.ask("/", key=None, method="POST").status == 405
