"""Roles that the groups of an identity provider give, as the studio shows them; the provider is a double."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.auth.fake_identity_provider import fake_identity_provider
from tests.auth.test_oidc import Coming, come, start_server
from tests.auth.user_client import invited, new_user
from tests.running_server import serving
from tests.studio.browser import tab

pytestmark = pytest.mark.browser
ROLES = '[oidc.id.roles]\nleads = "admin"\nstaff = "developer"\n'


def test_story_59_groups_give_roles_and_the_last_owner_stays_and_the_page_says_why(
    browser: Any, tmp_path: Path
) -> None:
    with (
        fake_identity_provider() as issuer,
        serving(tmp_path, start_server("id", issuer.url, ROLES), OIDC_SECRET="x") as server,
    ):
        new_user(server, "owner@example.com", "owner")
        invited(server, "led@example.com", "viewer")
        owner, led = Coming(server), Coming(server)

        def role(client: Coming, who: str, **groups: Any) -> str:
            issuer.person = {"email": f"{who}@example.com", "sub": who, **groups}
            assert come(server, issuer, client).status == 200
            client.send("/auth/session")
            return str(client.said["role"])

        assert role(led, "led", groups=["staff"]) == "developer"
        assert role(led, "led") == "developer", "a token that says nothing of groups"
        assert role(owner, "owner") == "owner" == role(owner, "owner", groups=[])
        with tab(browser, server, owner) as opened:
            opened.open("/access/people")
            people = opened.page.get_by_role("listitem")
            kept = people.filter(has_text="owner@example.com")
            kept.get_by_text("the last owner keeps it, whatever they are").wait_for()
            given = people.filter(has_text="led@example.com")
            given.get_by_text("The groups at id give the role at each sign-in.").wait_for()
            assert given.get_by_role("combobox").is_disabled()
            opened.picture("people-of-a-provider")
            assert opened.inaccessible() == [] and opened.wrong() == []
        issuer.person = {"email": "led@example.com", "sub": "led", "groups": []}
        assert come(server, issuer, led).status == 403, "an empty list takes the role"
