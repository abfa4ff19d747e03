"""What may leave, and where to: the one way out is closed unless the configuration opens it."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import pytest

from sizewise.data_class import DATA_CLASSES, PLACES, DataClass, Place, is_within, strictest
from sizewise.errors import ConfigError, EgressDenied
from sizewise.http.egress import EgressPolicy, origin

REACH: dict[DataClass, Place] = {"public": "anyone", "internal": "network", "confidential": "machine"}
CLOUD, OFFICE, HERE = "https://api.example.com", "http://models.office:8000", "http://127.0.0.1:11434"
EGRESS = EgressPolicy({f"{CLOUD}/v1": "anyone", OFFICE: "network", HERE: "machine"}, REACH)


def test_places_run_from_the_nearest_to_the_widest() -> None:
    for near, wide in pairwise(PLACES):
        assert is_within(wide, near) and not is_within(near, wide)
    assert all(is_within(place, place) for place in PLACES)


def test_the_strictest_class_wins_and_nothing_said_is_the_strictest() -> None:
    assert strictest("public", "confidential", "internal") == "confidential"
    assert strictest("public", "internal") == "internal"
    assert strictest("public") == "public"
    assert strictest() == "confidential"


@pytest.mark.parametrize(
    ("where", "passes"),
    [(CLOUD, {"public"}), (OFFICE, {"public", "internal"}), (HERE, {"public", "internal", "confidential"})],
)
def test_data_goes_as_far_as_its_class_reaches_and_no_further(where: str, passes: set[DataClass]) -> None:
    for data_class in DATA_CLASSES:
        if data_class in passes:
            EGRESS.check(where, purpose="ask", data_class=data_class)
        else:
            with pytest.raises(EgressDenied) as denied:
                EGRESS.check(where, purpose="ask", data_class=data_class)
            for word in (where, data_class, REACH[data_class], "ask"):
                assert word in denied.value.message
            assert f"`{data_class} = " in denied.value.hint and "[egress]" in denied.value.hint


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:11435",
        "http://api.example.com",
        "https://api.example.com:444",
        "https://evil.example.com",
        "https://api.example.com.evil.example",
        "https://api.example.com/",
        "",
    ],
)
def test_an_origin_nobody_named_is_refused_also_on_this_machine(where: str) -> None:
    with pytest.raises(EgressDenied, match="the settings do not declare it") as denied:
        EGRESS.check(where, purpose="ask", data_class="public")
    assert denied.value.hint


def test_a_class_without_a_reach_goes_nowhere() -> None:
    with pytest.raises(EgressDenied, match="not be sent anywhere"):
        EgressPolicy({HERE: "process"}, {"public": "anyone"}).check(HERE, purpose="ask", data_class="internal")
    with pytest.raises(EgressDenied):
        EGRESS.check(HERE, purpose="ask", data_class=cast("DataClass", "top secret"))


def test_a_place_is_what_was_declared_and_not_what_the_address_looks_like() -> None:
    forwarding = EgressPolicy({HERE: "anyone"}, REACH)
    assert forwarding.place(HERE) == "anyone"
    with pytest.raises(EgressDenied):
        forwarding.check(HERE, purpose="ask", data_class="confidential")


def test_two_urls_of_one_origin_count_as_the_wider_place() -> None:
    both = EgressPolicy({f"{HERE}/a": "anyone", f"{HERE}/b": "machine"}, REACH)
    assert both.place(HERE) == "anyone"
    assert EGRESS.with_origin(HERE, "region").place(HERE) == "region"
    assert EGRESS.with_origin(CLOUD, "machine").place(CLOUD) == "anyone"


def test_one_more_origin_leaves_the_first_egress_as_it_was() -> None:
    more = EGRESS.with_origin("https://files.example.com/weights.gguf", "anyone")
    more.check("https://files.example.com", purpose="download", data_class="public")
    more.check(HERE, purpose="ask", data_class="confidential")
    with pytest.raises(EgressDenied):
        more.check("https://files.example.com", purpose="download", data_class="internal")
    with pytest.raises(EgressDenied):
        EGRESS.check("https://files.example.com", purpose="download", data_class="public")


def test_changing_the_settings_behind_it_changes_nothing() -> None:
    allowed: dict[str, Place] = {HERE: "machine"}
    egress = EgressPolicy(allowed, REACH)
    allowed[CLOUD] = "process"
    with pytest.raises(EgressDenied):
        egress.check(CLOUD, purpose="ask", data_class="public")


def test_a_word_that_is_no_place_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'machin'") as refused:
        EgressPolicy({HERE: cast("Place", "machin")}, REACH)
    assert "'machine'" in refused.value.hint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.Example.com/v1", "https://api.example.com"),
        ("https://api.example.com:443", "https://api.example.com"),
        ("http://api.example.com:443/", "http://api.example.com:443"),
        ("HTTP://localhost:80/a?b=c", "http://localhost"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]"),
    ],
)
def test_an_origin_has_one_spelling(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com", "ftp://a", "file:///etc/passwd", "http://", "http://:80", "http://a:0", "http://a:b",
     "http://a:99999", "http://[::1", "http://a b/", "http://a\r\nx: y/", "http://a\tb", "http://exämple.com"],
)  # fmt: skip
def test_what_is_no_http_url_has_no_origin(url: str) -> None:
    with pytest.raises(ConfigError):
        origin(url)


@pytest.mark.parametrize("url", ["https://me:secret@api.example.com/v1", "https://secret@api.example.com"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.example\.com") as refused:
        origin(url)
    assert "secret" not in refused.value.message + refused.value.hint
