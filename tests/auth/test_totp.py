"""Codes of authenticator apps: the vectors of RFC 6238, drift of clocks, and no code twice."""

from __future__ import annotations

import pytest

from sizewise.auth.users.qr_code import qr_matrix
from sizewise.auth.users.totp import matching_step, new_secret, provisioning_uri, totp_code

RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    assert totp_code(RFC_SECRET, seconds // 30) == code


def test_a_clock_may_be_off_by_one_step_and_no_more() -> None:
    now = 1_234_567_890.0
    for drift, fits in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        step = int(now) // 30 + drift
        assert matching_step(RFC_SECRET, totp_code(RFC_SECRET, step), now, 0) == (step if fits else None)


def test_a_code_and_those_before_it_are_refused_once_it_was_accepted() -> None:
    now, step = 1_234_567_890.0, 1_234_567_890 // 30
    for earlier in (step - 1, step):
        assert matching_step(RFC_SECRET, totp_code(RFC_SECRET, earlier), now, step) is None
    assert matching_step(RFC_SECRET, totp_code(RFC_SECRET, step + 1), now, step) == step + 1


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "２８７０８２", "\ud800", "-28708"])
def test_what_is_no_code_is_refused(code: str) -> None:
    assert matching_step(RFC_SECRET, code, 59.0, 0) is None


def test_spaces_as_apps_show_them_do_not_matter() -> None:
    assert matching_step(RFC_SECRET, " 287 082 ", 59.0, 0) == 1


def test_the_uri_and_its_qr_code_carry_the_account() -> None:
    uri = provisioning_uri(new_secret(), "ada@example.com", "Sizewise")
    assert uri.startswith("otpauth://totp/Sizewise%3Aada@example.com?secret=")
    rows = qr_matrix(uri)
    assert len(rows) >= 21 and {len(row) for row in rows} == {len(rows)} and set("".join(rows)) == {"0", "1"}
    assert rows[0].startswith("1111111") and rows[-1].startswith("1111111"), "the finder patterns"
