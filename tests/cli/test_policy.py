"""`sizewise route policy`: what may reach what, told and tested without a server, a model or a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise

SETTINGS = """
[server]
embedded = false
discover = false
[providers.here]
wire = "echo"
place = "process"
models = ["small"]
[providers.cloud]
base_url = "https://cloud.example/v1"
models = ["big", "huge"]
[projects.hr]
data_class = "confidential"
[projects.lab]
online = "deny"
[policies.near]
kind = "cascade"
[policies.near.egress]
internal = "network"
[policies.home]
kind = "cheapest"
online = "deny"
"""


def test_it_shows_what_every_class_of_data_may_reach_under_every_policy(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(SETTINGS)
    told = sizewise("route", "policy", "--json", home=tmp_path).json["reach"]
    reach = {(row["policy"], row["data_class"]): row["models"] for row in told}
    everyone = ["here/small", "cloud/big", "cloud/huge"]
    assert reach == {
        ("default", "public"): everyone,
        ("default", "internal"): everyone,
        ("default", "confidential"): ["here/small"],
        **{("near", kind): ["here/small"] for kind in ("public", "internal", "confidential")},
        **{("home", kind): ["here/small"] for kind in ("public", "internal", "confidential")},
    }, "a request cannot loosen the settings' `internal`, nor a policy the settings"


def test_cases_that_hold_and_cases_that_do_not(tmp_path: Path) -> None:
    cases = """
[[policies.default.tests]]
name = "the personnel's data stays, whatever the request says"
project = "hr"
data_class = "public"
allowed_models = ["here/*"]
expect_data_class = "confidential"
[[policies.default.tests]]
name = "by its name it is refused"
project = "lab"
model = "cloud/big"
expect_error = "forbidden"
[[policies.default.tests]]
name = "the key can tighten too"
key_data_class = "confidential"
first_model = "here/small"
[[policies.near.tests]]
name = "not true"
online = "allow"
denied_models = ["here/*"]
first_model = "cloud/big"
[[policies.near.tests]]
name = "not true either"
expect_error = "over_budget"
"""
    (tmp_path / "sizewise.toml").write_text(SETTINGS + cases)
    done = sizewise("route", "policy", "test", "--json", home=tmp_path)
    assert done.code == 1 and done.json["failed"] == 2
    assert [bool(each["failures"]) for each in done.json["tests"]] == [False, False, False, True, True]
    shown = sizewise("route", "policy", "test", home=tmp_path).out
    assert "✗ near: not true\n    may reach here/small, which is denied\n    asks here/small first" in shown
    assert "is answered, but 'over_budget' is expected" in shown and shown.endswith("3 of 5 passed\n")
    assert sizewise("route", "policy", "test", "default", home=tmp_path).code == 0


def test_without_tests_it_shows_how_one_is_written(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(SETTINGS)
    done = sizewise("route", "policy", "test", home=tmp_path)
    assert done.code == 2 and "[[policies.default.tests]]" in done.err and 'denied_models = ["cloud/big"]' in done.err
    assert "Did you mean 'near'?" in sizewise("route", "policy", "test", "nearr", home=tmp_path).err
    (tmp_path / "sizewise.toml").write_text(SETTINGS + '[policies.x]\negress = {secret = "machine"}\n')
    assert "there is no data class 'secret'" in sizewise("route", "policy", home=tmp_path).err


@pytest.mark.long
def test_what_guards_find_counts_too(tmp_path: Path) -> None:
    cases = """
[guardrails.detected_data_class]
pii = "confidential"
[policies.near.guardrails]
secrets = "block"
[[policies.default.tests]]
name = "a patient's address keeps the question here"
prompt = "Write to jane.doe@clinic.example that her result is there."
expect_data_class = "confidential"
allowed_models = ["here/*"]
[[policies.near.tests]]
name = "a key is refused"
prompt = "why does sk-proj-Zx8Kq3Vb7Nw2Lm5Tr9Yc4Hd6 not work?"
expect_error = "guard_blocked"
"""
    (tmp_path / "sizewise.toml").write_text(SETTINGS + cases)
    done = sizewise("route", "policy", "test", home=tmp_path)
    assert done.code == 0, done.out + done.err
