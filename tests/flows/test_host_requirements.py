"""The hosts that a flow calls: found by `flow check`, with the settings that allow them, which then do."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sizewise.flows.host_requirements import host_name, missing_grants, required_hosts
from sizewise.settings.http_allowlist import HttpHostSettings
from tests.cli.terminal import sizewise
from tests.flows.in_process import checked
from tests.running_server import ECHO, serving, until


def calling(*nodes: str) -> str:
    lines = "\n".join(f"  n{number}: {{kind: http, {each}}}" for number, each in enumerate(nodes))
    return f'name: calls\ninputs: {{url: text, id: text}}\nnodes:\n{lines}\noutputs: {{said: "{{{{ n0.text }}}}"}}\n'


def needs(node: str, **hosts: str) -> tuple[str, str, bool]:
    """Name, URL and whether it is allowed, of one node; `hosts`: base URLs in the settings."""
    settings = {name: HttpHostSettings(url=url) for name, url in hosts.items()}
    (found,) = required_hosts(checked(calling(node)), settings)
    return found.name, found.url, found.allowed


@pytest.mark.parametrize(
    ("node", "hosts", "needed"),
    [
        ("url: 'https://api.example.com/v1/a'", {}, ("", "https://api.example.com", False)),
        ("url: 'https://API.Example.com'", {"x": "https://api.example.com"}, ("x", "https://api.example.com", True)),
        (
            "url: 'https://a.example/v1/{{ inputs.id }}'",
            {"x": "https://a.example/v1"},
            ("x", "https://a.example", True),
        ),
        ("url: 'https://a.example/{{ inputs.id }}'", {"x": "https://a.example/v1"}, ("x", "https://a.example", True)),
        ("url: 'https://a.example/v2/b'", {"x": "https://a.example/v1"}, ("", "https://a.example", False)),
        ("url: 'https://a.example:8443/b'", {"x": "https://a.example"}, ("", "https://a.example:8443", False)),
        (
            "url: 'https://a.example.evil.example/b'",
            {"x": "https://a.example"},
            ("", "https://a.example.evil.example", False),
        ),
        ("url: 'https://a.example{{ inputs.id }}/b'", {"x": "https://a.example"}, ("", "", False)),
        ("url: '{{ inputs.url }}'", {"x": "https://a.example"}, ("", "", False)),
        ("url: 'https://me:secret@a.example/b'", {"x": "https://a.example"}, ("", "https://a.example", False)),
        ("host: crm, path: a", {"crm": "https://crm.example/api"}, ("crm", "https://crm.example", True)),
        ("host: crm, path: a", {}, ("crm", "", False)),
    ],
)
def test_what_a_node_calls_and_whether_it_may(node: str, hosts: dict[str, str], needed: tuple[str, str, bool]) -> None:
    assert needs(node, **hosts) == needed


def test_nodes_in_loops_count_and_a_host_is_granted_once_with_all_its_methods() -> None:
    text = """
name: calls
inputs: {ids: {list: text}}
nodes:
  each_one:
    kind: each
    items: "{{ inputs.ids }}"
    nodes:
      get: {kind: http, url: "https://api.example.co.uk/{{ item }}"}
      put: {kind: http, url: "https://api.example.co.uk/{{ item }}", method: PUT}
    outputs: "{{ put.text }}"
  other: {kind: http, url: "https://example.org/x"}
outputs: {said: "{{ each_one }}", more: "{{ other.text }}"}
"""
    grants = missing_grants(required_hosts(checked(text), {}), {})
    assert [(each.name, each.url, set(each.methods)) for each in grants] == [
        ("example", "https://api.example.co.uk", {"GET", "PUT"}),
        ("example-2", "https://example.org", {"GET"}),
    ]
    settings = tomllib.loads("".join(each.settings for each in grants))
    assert settings["hosts"]["example"] == {"url": "https://api.example.co.uk", "methods": ["GET", "PUT"]}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.firecrawl.dev", "firecrawl"),
        ("https://google.serper.dev", "serper"),
        ("https://x.app.n8n.cloud", "n8n"),
        ("https://www.example.co.uk", "example"),
        ("http://localhost:8080", "localhost"),
        ("http://127.0.0.1:8080", "api"),
        ("http://[::1]:8080", "api"),
        ("https://münchen.example", "m-nchen"),
    ],
)
def test_a_host_is_named_after_its_domain(url: str, name: str) -> None:
    assert host_name(url) == name
    assert host_name(url, [name]) == f"{name}-2"


@contextmanager
def api() -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"done": "it was called"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.long
def test_the_settings_that_the_check_prints_allow_what_the_flow_calls(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    settings = tmp_path / "sizewise.toml"
    settings.write_text(ECHO)
    with api() as url:
        text = f"""name: calls
inputs: {{id: text}}
nodes:
  call: {{kind: http, method: POST, url: "{url}/v1/{{{{ inputs.id }}}}", json: {{}}}}
outputs: {{said: "{{{{ call.json.done }}}}"}}
"""
        (tmp_path / "flows/calls.yaml").write_text(text)
        found = sizewise("flow", "check", "calls", home=tmp_path)
        assert found.code == 0  # the settings of the server may have it
        assert f"warning: call: flows are not allowed to call '{url}'" in found.out
        told: Any = sizewise("flow", "check", "--json", home=tmp_path).json
        assert told["hosts"] == [{"url": url, "name": "", "allowed": False, "methods": ["POST"], "flows": ["calls"]}]
        assert told["settings"] in found.out
        with serving(tmp_path, ECHO) as server:
            query = "query ($text: String!) { checkFlow(text: $text) { valid findings { node message hint } } }"
            shown: Any = server.ask("/graphql", {"query": query, "variables": {"text": text}}).json
            (warned,) = shown["data"]["checkFlow"]["findings"]
            assert shown["data"]["checkFlow"]["valid"] and warned["node"] == "call"
            assert warned["hint"] == f'Allow it in sizewise.toml: [hosts.api] url = "{url}"'
            until(lambda: sizewise("flow", "list", "--json", home=tmp_path).json["flows"][0]["state"] == "live")
            denied = sizewise("flow", "run", "calls", "--input", "id=a", home=tmp_path)
            assert denied.code != 0 and f'[hosts.api] url = "{url}"' in denied.err, denied.err
        with serving(tmp_path, ECHO + told["settings"]):
            done = sizewise("flow", "run", "calls", "--input", "id=a", home=tmp_path)
            assert "it was called" in done.out, done.err
            again = sizewise("flow", "check", "calls", home=tmp_path)
            assert "warning" not in again.out and again.out.splitlines()[-1].split() == [
                url,
                "POST",
                "[hosts.api]",
                "calls",
            ]
            assert "not allowed" not in again.out


def test_a_method_that_a_host_does_not_allow_is_named(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "sizewise.toml").write_text(ECHO + '[hosts.crm]\nurl = "https://crm.example"\nmethods = ["GET"]\n')
    (tmp_path / "flows/calls.yaml").write_text(calling("host: crm, method: POST"))
    found = sizewise("flow", "check", home=tmp_path)
    assert "warning: n0: the host 'crm' does not allow POST" in found.out
    assert "Add it to `methods` in [hosts.crm]." in found.out


def test_a_url_that_only_a_run_knows_is_a_warning_where_no_host_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/calls.yaml").write_text(calling("url: '{{ inputs.url }}'"))
    (tmp_path / "sizewise.toml").write_text(ECHO)
    found = sizewise("flow", "check", home=tmp_path).out
    assert "the host of its URL is known only when it runs, and the settings allow none" in found
    (tmp_path / "sizewise.toml").write_text(ECHO + '[hosts.crm]\nurl = "https://crm.example"\n')
    found = sizewise("flow", "check", home=tmp_path).out
    assert "warning" not in found and "known only when it runs" in found
