"""Second factors: enrolled, asked for, used once, lost and reset, required by role; and sessions ended one by one."""

from __future__ import annotations

import base64
import itertools
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sizewise.auth.users.totp import totp_code
from tests.auth.user_client import PASSWORD, Browser, invited, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Answer, Served, read_all, serving

NUMBER = itertools.count()
RESET = "mutation($user: String!) { resetSecondFactor(user: $user) { id } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("factors")) as served:
        yield served


class App:
    """An authenticator app. A new code each time: the next step's, which the drift of clocks allows."""

    def __init__(self, secret: str) -> None:
        self._secret = base64.b32decode(secret)
        self._last = int(time.time()) // 30 - 2

    def code(self) -> str:
        self._last = max(self._last + 1, int(time.time()) // 30 - 1)
        return totp_code(self._secret, self._last)

    def last_code(self) -> str:
        return totp_code(self._secret, self._last)


def person(server: Served, role: str = "developer") -> tuple[Browser, str]:
    email = f"f{next(NUMBER)}@example.com"
    return new_user(server, email, role), email


def posted(browser: Browser, path: str, **body: str) -> Answer:
    return browser.send(f"/auth/second-factor{path}", body)


def enrolled(browser: Browser) -> tuple[App, list[str]]:
    begun = posted(browser, "", password=PASSWORD)
    assert begun.status == 200, begun.body
    app = App(begun.json["secret"])  # type: ignore[index]  # an object
    done = posted(browser, "/confirm", code=app.code())
    assert done.status == 200, done.body
    return app, done.json["recovery_codes"]  # type: ignore[index]  # an object


def test_enrolled_signed_out_and_in_again_with_codes_that_work_once(server: Served) -> None:
    browser, email = person(server)
    app, codes = enrolled(browser)
    assert len(set(codes)) == 10 and all(re.fullmatch("([a-z2-9]{4}-){3}[a-z2-9]{4}", each) for each in codes)
    asked = Browser(server).sign_in(email)
    assert (asked.status, asked.error["code"]) == (401, "second_factor_required") and "set-cookie" not in asked.headers
    assert Browser(server).sign_in(email, "not the password").error["code"] == "sign_in_refused"
    signed = Browser(server)
    assert signed.sign_in(email, code=app.code()).status == 200 and signed.said["second_factor"] == "enrolled"
    assert signed.chat().status == 200
    again = Browser(server).sign_in(email, code=app.last_code())
    assert (again.status, again.error["code"]) == (401, "sign_in_refused"), "a replayed code"
    assert Browser(server).sign_in(email, recovery_code=codes[0].upper()).status == 200
    assert Browser(server).sign_in(email, recovery_code=codes[0]).status == 401, "a recovery code twice"
    state = signed.send("/auth/second-factor").json
    assert state["state"] == "enrolled" and state["recovery_left"] == 9  # type: ignore[index]  # an object
    audit = graphql(server, "{ audit(last: 20) { actor action after error } }").data["audit"]
    mine = [(each["action"], each["error"], each["after"]) for each in audit if each["actor"] == signed.user]
    assert any(action == "user.second_factor" and after == {"state": "on"} for action, _, after in mine)
    assert any(action == "user.recovery_code" for action, _, _ in mine)
    assert any(action == "session.begin" and error == "sign_in_refused" for action, error, _ in mine)
    assert {"totp", "recovery"} <= {(after or {}).get("factor") for action, _, after in mine if "session" in action}


def test_a_secret_is_sealed_and_a_recovery_code_is_a_digest(server: Served) -> None:
    browser, _ = person(server)
    begun = posted(browser, "", password=PASSWORD).json
    secret = base64.b32decode(begun["secret"])  # type: ignore[index]  # an object
    app = App(begun["secret"])  # type: ignore[index]  # an object
    codes = posted(browser, "/confirm", code=app.code()).json["recovery_codes"]  # type: ignore[index]  # an object
    with closing(sqlite3.connect(server.home / "sizewise.db", timeout=60)) as database:
        stored = repr(database.execute("SELECT * FROM second_factors").fetchall())
        stored += repr(database.execute("SELECT * FROM recovery_codes").fetchall())
    kept = (server.home / "sizewise.db").read_bytes()
    assert secret not in kept and repr(secret)[2:-1] not in stored and codes[0] not in stored
    assert codes[0].replace("-", "") not in stored


def test_enrolling_takes_the_password_and_the_first_code(server: Served) -> None:
    browser, email = person(server)
    assert posted(browser, "", password="something else").status == 401
    assert posted(browser, "/confirm", code="123456").status == 409, "nothing has begun"
    posted(browser, "", password=PASSWORD)
    assert posted(browser, "/confirm", code="000000").status == 401
    assert Browser(server).sign_in(email).status == 200, "not on before its first code"


def test_removing_it_and_new_recovery_codes_take_a_code(server: Served) -> None:
    browser, email = person(server)
    app, codes = enrolled(browser)
    assert posted(browser, "", password=PASSWORD).status == 409, "one at a time"
    assert posted(browser, "/remove").status == 400 and posted(browser, "/remove", code="000000").status == 401
    new = posted(browser, "/recovery-codes", code=app.code())
    assert new.status == 200 and posted(browser, "/remove", recovery_code=codes[1]).status == 401, "an old one"
    removed = posted(browser, "/remove", recovery_code=new.json["recovery_codes"][3])  # type: ignore[index]  # an object
    assert removed.json == {"state": "none", "since": None, "recovery_left": 0}
    assert Browser(server).sign_in(email).status == 200


def test_guessed_codes_are_stopped_and_recovery_codes_still_work(server: Served) -> None:
    browser, email = person(server)
    _, codes = enrolled(browser)
    statuses = [Browser(server).sign_in(email, code="000000").status for _ in range(12)]
    assert statuses[0] == 401 and statuses[-1] == 429
    assert Browser(server).sign_in(email, recovery_code=codes[0]).status == 200


def test_a_new_password_keeps_the_second_factor(server: Served) -> None:
    browser, email = person(server)
    app, _ = enrolled(browser)
    made = graphql(server, "mutation($e: String!) { inviteUser(email: $e) { token } }", e=email)
    token = made.data["inviteUser"]["token"]
    refused = Browser(server).accept(token, password="another long sentence")
    assert refused.error["code"] == "second_factor_required"
    sent = {"token": token, "password": "another long sentence", "code": app.code()}
    assert Browser(server).send("/auth/invitation", sent).status == 200


def test_who_may_reset_it(server: Served) -> None:
    browser, email = person(server)
    enrolled(browser)
    boss, _ = person(server, "admin")
    owner, _ = person(server, "owner")
    enrolled(owner)
    mine = browser.graphql(RESET, user=browser.user)
    assert mine.errors[0]["extensions"]["code"] == "forbidden"
    above = boss.graphql(RESET, user=owner.user)
    assert "lacks" in above.errors[0]["message"], "not of who may do more"
    shown = boss.graphql("{ users { id secondFactor { recoveryLeft since } } }").data["users"]
    known = {each["id"]: each["secondFactor"] for each in shown}
    assert known[browser.user]["recoveryLeft"] == 10 and known[boss.user] is None
    assert boss.graphql(RESET, user=browser.user).errors == []
    assert Browser(server).sign_in(email).status == 200
    assert sizewise("users", "reset-second-factor", owner.user, home=server.home).code == 0


def test_without_a_password_there_is_nothing_to_protect(server: Served) -> None:
    browser = Browser(server)
    browser.send("/auth/link/redeem", {"token": server.sign_in.partition("#link=")[2].partition("&")[0]})
    assert posted(browser, "", password="").status == 409


@pytest.mark.long
def test_a_role_that_requires_it_opens_nothing_before(tmp_path: Path) -> None:
    config = ECHO + '[sign_in]\nsecond_factor_roles = ["admin"]\n'
    with serving(tmp_path, config) as server:
        developer, _ = person(server)
        assert developer.said["second_factor"] == "none" and developer.chat().status == 200
        browser = Browser(server)
        joined = browser.accept(invited(server, "chief@example.com", "admin"))
        assert joined.json["second_factor"] == "required" and joined.json["permissions"] == []  # type: ignore[index]  # an object
        assert browser.chat().status == 403
        assert browser.graphql("{ users { id } }").errors[0]["extensions"]["code"] == "forbidden"
        assert browser.send("/auth/second-factor").json["state"] == "required"  # type: ignore[index]  # an object
        enrolled(browser)
        assert browser.chat().status == 200, "at once, in the same session"
    with serving(tmp_path / "off", ECHO + '[sign_in]\nsecond_factor = "off"\n') as server:
        browser, _ = person(server)
        assert posted(browser, "", password=PASSWORD).error["message"] == "second factors are off"


def test_an_unknown_role_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text('[sign_in]\nsecond_factor_roles = ["ownr"]\n')
    told = sizewise("up", "--port", "0", "--config", str(tmp_path / "sizewise.toml"), home=tmp_path)
    assert told.code == 2 and "owner" in told.err


def test_sessions_are_listed_with_their_origin_and_ended_one_by_one(server: Served) -> None:
    browser, email = person(server)
    other = Browser(server)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
    sent = {"email": email, "password": PASSWORD}
    assert other.send("/auth/sign-in", sent, {"user-agent": agent}).status == 200
    query = "{ signInSessions { id method secondFactor device network current } }"
    shown = {each["id"]: each for each in browser.graphql(query).data["signInSessions"]}
    theirs = shown[other.said["session"]]
    assert (theirs["method"], theirs["device"], theirs["network"]) == ("password", "Firefox on Linux", "127.0.0.0/24")
    assert theirs["current"] is False and shown[browser.said["session"]]["current"] is True
    end = "mutation($id: String!) { signOut(session: $id) { id } }"
    stranger, _ = person(server)
    refused = stranger.graphql(end, id=other.said["session"])
    assert refused.errors[0]["extensions"]["code"] in ("not_found", "forbidden")
    with other.streaming("Hello [[repeat 500]] [[pace 0.05]]") as stream:
        assert b"Hello" in stream.read1(4_096)
        assert browser.graphql(end, id=other.said["session"]).data["signOut"]["id"] == other.said["session"]
        rest, _ = read_all(stream)
    assert b"invalid_api_key" in rest
    assert other.send("/auth/session").status == 401 and browser.send("/auth/session").status == 200
