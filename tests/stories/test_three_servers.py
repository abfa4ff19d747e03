"""Three servers of one Postgres are one: what begins at one goes on at another, what one revokes all refuse."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.auth.user_client import Browser, new_user
from tests.gateway.test_batches import client_of, line, results, uploaded
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import add, embed, search
from tests.older_version import BESIDE, older
from tests.postgres import PostgresServer
from tests.running_server import Served, serving, until

pytestmark = pytest.mark.long
CONFIG = """
[server]
embedded = false
discover = false
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[limits."project:limited"]
requests_per_minute = 48
[projects.limited]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/small"]
price = {input = "1", output = "5"}
[models."echo/vectors"]
task = "embed"
"""
FLOW = """name: refund
inputs:
  mail: text
nodes:
  check:
    kind: approve
    question: "Send it?"
    show: "{{ inputs.mail }}"
outputs:
  answer: "{{ inputs.mail }}"
"""
Three = tuple[Served, Served, Served]


@pytest.fixture(scope="module", params=[None, 0, 2], ids=["all new", "first older", "third older"])
def three(
    request: pytest.FixtureRequest, shared_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Three]:
    """All of this version, or one of the oldest that works beside it."""
    before = {} if request.param is None else older(BESIDE)
    folder = tmp_path_factory.mktemp("three")
    with contextlib.ExitStack() as stack:
        environ = {
            "SHARED_STORE": stack.enter_context(shared_postgres.new_database()),
            "SHARED_KEY": base64.b64encode(bytes(range(32))).decode(),
        }
        one, two, last = (
            stack.enter_context(serving(folder / each, CONFIG, **environ, **(before if n == request.param else {})))
            for n, each in enumerate(("a", "b", "c"))
        )
        yield one, two, last


def test_a_file_of_one_is_a_batch_of_another_and_answers_of_a_third(three: Three) -> None:
    one, two, last = three
    with client_of(one) as a, client_of(two) as b, client_of(last) as c:
        file = uploaded(a, [line(f"q{n}", f"[[say answer {n}]]") for n in range(30)])
        batch = b.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h")
        until(lambda: c.batches.retrieve(batch.id).status == "completed")
        assert len(results(c, c.batches.retrieve(batch.id).output_file_id)) == 30
        a.files.delete(file)
        assert file not in {each.id for each in b.files.list()}


def test_who_signs_in_at_one_is_known_to_all_until_they_sign_out_at_any(three: Three) -> None:
    one, two, last = three
    person = new_user(one, "anna@example.com", "owner")
    elsewhere = [Browser(each, person.cookie, person.csrf) for each in (two, last)]
    until(lambda: all(each.send("/auth/session").status == 200 for each in elsewhere))
    assert elsewhere[1].chat(words="[[say hello]]").status == 200
    assert elsewhere[0].send("/auth/sign-out", {}).status == 200
    until(lambda: [each.send("/auth/session").status for each in (person, elsewhere[1])] == [401, 401])


def test_a_key_revoked_at_one_is_refused_at_all(three: Three) -> None:
    one, two, last = three
    made = graphql(two, 'mutation { createKey(name: "walker") { secret key { id } } }').data["createKey"]
    until(lambda: all(each.ask("/v1/models", key=made["secret"]).status == 200 for each in three))
    graphql(last, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=made["key"]["id"])
    assert last.ask("/v1/models", key=made["secret"]).status == 401
    until(lambda: [each.ask("/v1/models", key=made["secret"]).status for each in (one, two)] == [401, 401])


def test_a_rate_limit_holds_for_all_together(three: Three) -> None:
    made = graphql(three[0], 'mutation { createKey(name: "busy", project: "limited") { secret } }').data["createKey"]
    until(lambda: all(each.ask("/v1/models", key=made["secret"]).status == 200 for each in three))

    def ask(number: int) -> int:
        body = {"model": "echo/small", "messages": [{"role": "user", "content": "hello"}]}
        return three[number % 3].ask("/v1/chat/completions", body, key=made["secret"]).status

    with ThreadPoolExecutor(6) as pool:
        seen = Counter(pool.map(ask, range(150)))
    # The minute may turn meanwhile, and each server may hold an unused sixteenth of the limit.
    assert set(seen) == {200, 429} and 48 - 3 * 3 <= seen[200] <= 96


def test_a_conversation_and_an_idempotency_key_go_on_at_another(three: Three) -> None:
    one, two, last = three
    with client_of(one) as a, client_of(two) as b, client_of(last) as c:
        first = a.responses.create(model="echo/small", input="[[say one]]", store=True)
        again = b.responses.create(model="echo/small", input="[[say two]]", previous_response_id=first.id)
        kept = c.responses.retrieve(again.id)
        assert kept.output_text == "two" and kept.previous_response_id == first.id
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "[[slow 0.2]] [[say once]]"}]}

    def ask(server: Served) -> dict[str, str]:
        return server.ask("/v1/chat/completions", body, idempotency_key="the-same").headers

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, three))
    paid = [each for each in answers if float(each.get("x-sizewise-cost-usd", "0")) > 0]
    assert len(paid) <= 1, "one call for one idempotency key"


def test_knowledge_of_one_is_found_at_another(three: Three) -> None:
    one, two, last = three
    add(one, "handbook.md", "# Refunds\n\nA refund takes five days.")
    embed(two)
    assert "five days" in search(last, "How long does a refund take?")[0]["text"]


def test_a_flow_published_at_one_waits_at_another_and_is_decided_at_a_third(three: Three) -> None:
    one, two, last = three
    publish = "mutation($t: String!) { publishFlow(text: $t) { __typename } }"
    answer = graphql(one, publish, t=FLOW)
    assert answer.errors == [], answer.errors
    start = 'mutation { startFlowRun(flow: "refund", inputs: { mail: "my lamp broke" }) { id } }'
    until(lambda: graphql(two, start).errors == [])
    (run,) = graphql(two, '{ flowRuns(flow: "refund") { id state } }').data["flowRuns"][:1]
    decide = 'mutation($i: String!) { decide(id: $i, key: "check", approved: true) { id } }'
    boss = new_user(last, "berta@example.com", "owner")
    until(lambda: boss.graphql(decide, i=run["id"]).errors == [])
    asked = "query($i: String!) { flowRun(id: $i) { state } }"
    until(lambda: graphql(one, asked, i=run["id"]).data["flowRun"]["state"] == "done")


def test_what_each_recorded_is_one_list_with_one_sum(three: Three) -> None:
    for number, server in enumerate(three):
        assert server.chat("echo/small", "[[say x]]", metadata={"n": str(number)}).status == 200
    totals = "{ usage(by: [model]) { total { requests costUsd } } }"
    until(lambda: len({json.dumps(graphql(each, totals).data) for each in three}) == 1)
