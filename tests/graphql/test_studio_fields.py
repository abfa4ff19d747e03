"""Fields that the studio's pages need: the cost-quality plane, the chained text of the audit log, the settings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sizewise.evals.sampled_curves import sampled_curves
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import SampledPair
from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import Served, serving

CALIBRATION = """query($p: String!, $q: Float) { calibration(policy: $p, quality: $q) {
  kind target small large basis isPriced allSmall pairs isCertifiable samplesNeeded curves { name points }
  certificate { levels { quality } } } }"""
SETTINGS = "{ settings { file tables { header keys { name value default origin } } } }"
SECRETS = """
[server]
embedded = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[providers.cloud]
base_url = "https://api.example.com/v1"
key = "env:CLOUD_KEY"
place = "anyone"
models = ["m"]
headers = { x-team = "canary-8812" }
"""


def test_curves_of_pairs_go_from_all_large_to_all_small_and_the_oracle_is_never_beaten() -> None:
    pairs = [SampledPair(trust=0.9 if number % 4 else 0.2, worse=0.0 if number % 4 else 1.0) for number in range(400)]
    found = sampled_curves(pairs, 0.1, QualityGuarantee(0.95))
    assert found.curves["random"] == ((0.1, 0.75), (1.0, 1.0))
    assert found.curves["cascade"][-1] == (1.1, 1.0)  # nothing is kept: both are paid
    assert (0.35, 1.0) in found.curves["cascade"]  # three of four kept, none of them lost
    assert found.curves["oracle"][0] == (0.1, 0.75) and found.curves["oracle"][-1] == (1.0, 1.0)
    assert found.is_certifiable and found.samples_needed is None


def test_too_few_pairs_say_how_many_are_needed_and_none_says_nothing() -> None:
    few = [SampledPair(0.9, 0.0)] * 20
    found = sampled_curves(few, 0.1, QualityGuarantee(0.95))
    assert not found.is_certifiable and found.samples_needed is not None and found.samples_needed > 20
    assert sampled_curves([], 0.1, QualityGuarantee(0.95)).curves == {}


def test_an_unmeasured_policy_has_no_curve_and_no_certificate(echo: Served) -> None:
    found = graphql(echo, CALIBRATION, p="default").data["calibration"]
    assert (found["kind"], found["target"], found["basis"]) == ("cascade", 0.95, "none")
    assert {found["large"], *found["small"]} == {"echo/small", "echo/large"}
    assert found["certificate"] is None and found["curves"] == [] and found["allSmall"] is None
    assert (found["pairs"], found["isCertifiable"], found["samplesNeeded"]) == (0, False, None)


def test_a_calibration_of_no_policy_or_no_fraction_is_refused(echo: Served) -> None:
    assert "there is no policy named" in graphql(echo, CALIBRATION, p="defalt").errors[0]["message"]
    assert "fraction between 0 and 1" in graphql(echo, CALIBRATION, p="default", q=95).hint


def test_the_hash_of_an_audit_entry_is_of_its_chained_text(echo: Served) -> None:
    fresh_key(echo, "ask")
    entries = graphql(echo, "{ audit(last: 1000, after: 0) { seq at action previous hash chained } }").data["audit"]
    assert entries
    for entry in entries:
        assert hashlib.sha256(entry["chained"].encode()).hexdigest() == entry["hash"]
        _, seq, at, event, previous = json.loads(entry["chained"])
        assert (seq, at, event["action"], previous) == (entry["seq"], entry["at"], entry["action"], entry["previous"])


def test_settings_are_listed_with_origin_and_no_secret(tmp_path: Path) -> None:
    with serving(tmp_path, SECRETS, CLOUD_KEY="canary-key-5512-long-enough") as server:
        answer = graphql(server, SETTINGS)
        found = answer.data["settings"]
        assert found["file"].endswith("sizewise.toml")
        keys = {(table["header"], key["name"]): key for table in found["tables"] for key in table["keys"]}
        assert keys["server", "embedded"] == {"name": "embedded", "value": "false", "default": "true", "origin": "file"}
        assert keys["providers.cloud", "key"]["value"] == '"env:CLOUD_KEY"'
        assert keys["router", "policy"]["origin"] == "default" and keys["router", "policy"]["default"] == '"default"'
        told = json.dumps(answer.data)
        assert "canary-8812" not in told and "canary-key" not in told
        assert graphql(server, SETTINGS, key=fresh_key(server, "ask", "read")).code == "forbidden"


FOUND = "mutation($id: String!, $email: String!) { createOrganization(id: $id, email: $email) { token } }"
AUTHORS = "query($ids: [String!]!) { authors(ids: $ids) { id name } }"


def test_authors_are_named_within_the_organization_and_unknown_ids_are_omitted(tmp_path: Path) -> None:
    with serving(tmp_path, SECRETS) as server:
        anna = new_user(server, "anna@example.com", "owner")
        made = 'mutation { createKey(name: "nightly build", permissions: [ask]) { key { id } } }'
        key = graphql(server, made).data["createKey"]["key"]["id"]
        found = anna.graphql(AUTHORS, ids=[anna.said["user"], key, "nobody"]).data["authors"]
        assert found == [{"id": anna.said["user"], "name": "anna"}, {"id": key, "name": "nightly build"}]
        token = graphql(server, FOUND, id="acme", email="kim@acme.example").data["createOrganization"]["token"]
        kim = Browser(server)
        assert kim.accept(token, "kim").status == 200
        assert kim.graphql(AUTHORS, ids=[anna.said["user"], key, kim.said["user"]]).data["authors"] == [
            {"id": kim.said["user"], "name": "kim"}
        ]
        refused = anna.graphql(AUTHORS, ids=["x"] * 201)
        assert refused.errors[0]["extensions"]["hint"] == "send at most 200 in one request"
