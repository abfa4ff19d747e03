"""Fields of pages that show how a server is set up: identity providers, alerts as they change, and facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.graphql.graphql_client import fresh_key, graphql
from tests.graphql.subscription_client import events, opened
from tests.running_server import ECHO, Served, serving

SETTINGS = (
    ECHO
    + """
[alerts.busy]
metric = "requests"
window = "1h"
every = "1s"
alert = 1.0
[oidc.staff]
issuer = "https://id.example.com"
client_id = "sizewise"
title = "Staff"
[oidc.staff.roles]
leads = "admin"
everyone = "developer"
[oidc.theirs]
issuer = "https://id.example.org"
client_id = "sizewise"
organization = "another"
"""
)
PROVIDERS = "{ identityProviders { name title issuer rolesClaim callbackPath lastSignIn mapping { value role } } }"
ROLE = "query($p: String!, $v: [String!]!) { previewRole(provider: $p, values: $v) { value role } }"
FACTS = """query($t: String!, $f: JSON) { checkFacts(text: $t, facts: $f) {
  words readingGrade readingFormula facts { name found } } }"""
CHANGED = "subscription($r: String) { alertChanged(rule: $r) { name states { state silencedUntil } } }"
SILENCE = 'mutation { silenceAlert(rule: "busy", hours: 1, reason: "known") { id } }'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("pages")
    with serving(home, SETTINGS) as served:
        yield served


def test_providers_show_their_mapping_and_the_role_that_groups_would_give(server: Served) -> None:
    (found,) = graphql(server, PROVIDERS).data["identityProviders"]
    assert (found["name"], found["title"], found["rolesClaim"]) == ("staff", "Staff", "groups")
    assert found["callbackPath"] == "/auth/oidc/staff/callback" and found["lastSignIn"] is None
    assert found["mapping"] == [{"value": "leads", "role": "admin"}, {"value": "everyone", "role": "developer"}]

    def role(*values: str, provider: str = "staff") -> Any:
        return graphql(server, ROLE, p=provider, v=list(values))

    assert role("everyone", "leads").data["previewRole"] == {"value": "leads", "role": "admin"}, (
        "the first that matches"
    )
    assert role("guests").data["previewRole"] is None and role().data["previewRole"] is None
    assert "there is no identity provider 'theirs'" in role("leads", provider="theirs").message
    assert graphql(server, PROVIDERS, key=fresh_key(server, "read_models")).code == "forbidden"


@pytest.mark.long
def test_an_alert_is_told_now_and_when_it_fires_and_is_silenced(server: Served) -> None:
    with opened(server, CHANGED, r="busy") as response:
        came = events(response)
        _, first = next(came)
        assert first["data"]["alertChanged"]["name"] == "busy"
        states = first["data"]["alertChanged"]["states"]
        assert not any(each["state"] == "firing" for each in states)
        body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hi"}]}
        assert server.ask("/v1/chat/completions", body).status == 200
        while not any(each["state"] == "firing" for each in states):
            states = next(came)[1]["data"]["alertChanged"]["states"]
        assert graphql(server, SILENCE).errors == []
        while not states[0]["silencedUntil"]:
            states = next(came)[1]["data"]["alertChanged"]["states"]
    with opened(server, CHANGED, r="bussy") as response:
        assert response.status == 404 and b"no alert rule 'bussy'" in response.read()
    with opened(server, CHANGED, key=fresh_key(server, "ask"), r=None) as response:
        assert response.status == 403


def test_facts_are_found_in_a_text_in_time_linear_in_it(server: Served) -> None:
    facts = {"slow clocks": ["clocks?\\b.*slow", "time dilat"], "length": "length contract"}
    found = graphql(server, FACTS, t="A moving clock runs slow.", f=facts).data["checkFacts"]
    assert found["facts"] == [{"name": "slow clocks", "found": True}, {"name": "length", "found": False}]
    assert (found["words"], found["readingGrade"]) == (5, None)
    assert graphql(server, FACTS, t="One two", f=None).data["checkFacts"]["facts"] == []
    hostile = graphql(server, FACTS, t="a" * 100_000, f={"slow": "(a+)+$b"})
    assert hostile.data["checkFacts"]["facts"] == [{"name": "slow", "found": False}]
    refused = graphql(server, FACTS, t="x", f={"open": "("})
    assert refused.code == "bad_request" and "'open'" in refused.message and "regular expressions" in refused.hint
    assert graphql(server, FACTS, t="x", f=["a"]).code == "bad_request"
    assert graphql(server, FACTS, t="x", key=fresh_key(server, "read")).code == "forbidden"
