"""Stories 1 to 5 of traces and spend: what was asked is read as one tree, here and at a collector, and adds up.

The collector is a double that keeps what came. Phoenix, which is not among our tests, draws this tree, by these ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sizewise.settings.storage import RecordsSettings
from sizewise.storage.database import open_database, sqlite_url
from sizewise.telemetry.stored_sizes import measure
from sizewise.telemetry.tables import RECORDS
from sizewise.telemetry.usage_query import UsageQuery
from sizewise.telemetry.usage_report import read_usage
from sizewise.telemetry.usage_tables import COST
from tests.fakes.webhook_receiver import WebhookReceiver, receiving
from tests.graphql.graphql_client import graphql
from tests.graphql.test_traces import LOOK, PUBLISH, SETTINGS, SPAN, TRACE, WHOLE
from tests.running_server import ECHO, Served, serving, until
from tests.telemetry.test_otlp import spans
from tests.telemetry.test_size_limit import SCHEMAS, limited, rows
from tests.telemetry.test_usage_rollup import DAY, NOW, Clockwork, insert, record

SECRET = "Canary4711"
PRICES = """
[models."echo/small"]
price = {input = "0.1", output = "0.1"}
[models."echo/large"]
price = {input = "1", output = "1"}
"""
USAGE = """query ($by: [UsageKey!], $user: String!) {
  usage(by: $by, filter: {endUser: $user}) { rows { key costUsd requests } total { costUsd requests } }
  records(last: 500) { rows { costUsd endUser } }
  budgets { unit spent }
}"""


@pytest.fixture(scope="module")
def collector() -> Iterator[WebhookReceiver]:
    with receiving(200) as found:
        yield found


@pytest.fixture(scope="module")
def server(collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """It keeps contents too, which is what a collector must not get."""
    told = f'[otlp]\nendpoint = "{collector.url}"\nplace = "machine"\n[records]\ncontents = true\n'
    limits = '[limits.organization]\nusd_per_day = "100"\n'
    with serving(tmp_path_factory.mktemp("stories"), ECHO + SETTINGS + PRICES + told + limits) as served:
        for text in (LOOK, WHOLE):
            assert graphql(served, PUBLISH, t=text).errors == []
        yield served


def ask(server: Served, trace: str, user: str = "", model: str = "flow:whole", text: str = "") -> None:
    text = text or '[[tool look {"question": "where?"}]]'
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    labels: dict[str, Any] = {"x_sizewise_end_user": user} if user else {}
    assert server.ask("/v1/chat/completions", body, traceparent=f"00-{trace}-{SPAN}-01", **labels).status == 200


def tree(server: Served, trace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = graphql(server, TRACE, id=trace).data["trace"]["spans"]
    return found


@pytest.mark.long
def test_story_1_a_flow_with_an_agent_a_tool_and_two_models_is_one_tree_here_and_at_a_collector(
    server: Served, collector: WebhookReceiver
) -> None:
    ask(server, "1" * 32)
    here = tree(server, "1" * 32)
    names = [(each["operation"], each["name"]) for each in here]
    for part in (
        ("invoke_workflow", "whole"),
        ("invoke_agent", "helper"),
        ("execute_tool", "look"),
        ("request", "echo/large"),
        ("request", "echo/small"),
    ):
        assert part in names, part
    assert [each["depth"] for each in here].count(0) == 1, "one tree"

    def there() -> dict[str, str]:
        return {each["spanId"]: each["parentSpanId"] for each in spans(collector) if each["traceId"] == "1" * 32}

    until(lambda: len(there()) >= len(here))
    assert there() == {each["id"]: each["parent"] for each in here}


@pytest.mark.long
def test_story_2_the_span_of_the_client_is_the_parent_here_and_at_a_collector(
    server: Served, collector: WebhookReceiver
) -> None:
    ask(server, "2" * 32, model="echo/small")
    assert tree(server, "2" * 32)[0]["parent"] == SPAN
    until(lambda: SPAN in [each["parentSpanId"] for each in spans(collector) if each["traceId"] == "2" * 32])


@pytest.mark.long
def test_story_3_what_an_end_user_cost_by_flow_is_one_question_and_its_sum_is_the_ledgers(server: Served) -> None:
    for number, (user, model) in enumerate(
        [("ann@x.org", "flow:whole"), ("ann@x.org", "echo/small"), ("bob", "flow:look")]
    ):
        ask(server, f"3{number:031x}", user, model)

    def asked() -> Any:
        return graphql(server, USAGE, by=["flow"], user="ann@x.org").data

    until(lambda: asked()["usage"]["total"]["requests"] == 5)
    found = asked()
    by_flow = {tuple(each["key"]): Decimal(each["costUsd"]) for each in found["usage"]["rows"]}
    hers = {each["endUser"] for each in found["records"]["rows"] if each["endUser"]}
    assert len(hers) == 2 and not any("ann" in each for each in hers), "an end user is a hash"
    assert by_flow.keys() == {("whole",), ("look",), ("",)} and all(cost > 0 for cost in by_flow.values())
    assert sum(by_flow.values()) == Decimal(found["usage"]["total"]["costUsd"])
    spent = {
        user: sum(Decimal(each["costUsd"] or 0) for each in found["records"]["rows"] if each["endUser"] == user)
        for user in hers
    }
    assert Decimal(found["usage"]["total"]["costUsd"]) in spent.values()
    everyone = sum(Decimal(each["costUsd"] or 0) for each in found["records"]["rows"])
    (budget,) = [Decimal(each["spent"]) for each in found["budgets"] if each["unit"] == "usd/day"]
    assert everyone == budget, "to the pico-dollar"


@pytest.mark.long
def test_story_4_a_year_of_traffic_stays_below_its_bytes_and_last_winters_cost_by_model_is_there(
    tmp_path: Path,
) -> None:
    """A thousandth of 1 request a second, in a thousandth of 4 GB; `make bench-storage` has a million rows."""
    database = open_database(sqlite_url(str(tmp_path / "x.db")), SCHEMAS)
    clock, chance, limit = Clockwork(database, RecordsSettings()), Random(4), 4_000_000
    spent: dict[tuple[int, str], int] = {}
    for day in range(365):
        start = NOW - (365 - day) * DAY
        made = []
        for number in range(86):
            model, cost = chance.choice(["small", "large"]), chance.randrange(10**12)
            at = start + number * 1_000
            made.append(record(at, number, model=model, cost=cost, trace=f"{day:016x}{number:016x}"))
            spent[int(at // DAY), model] = spent.get((int(at // DAY), model), 0) + cost
        insert(database, made)
        clock.now = start + DAY
        if day % 7 == 6 or day == 364:
            clock.count()
            asyncio.run(limited(database, limit).apply())
    clock.now = NOW
    clock.count()
    asyncio.run(limited(database, limit).apply())
    stored = sum(each.bytes for each in database.read_transaction(measure))
    assert stored <= limit and 0 < rows(database, RECORDS) < 365 * 86
    winter = range(int((NOW - 365 * DAY) // DAY) + 1, int((NOW - 275 * DAY) // DAY))
    for model in ("small", "large"):
        expected = sum(cost for (day, its), cost in spent.items() if its == model and day in winter)
        query = UsageQuery(tenant="t", since=winter.start * 24, until=winter.stop * 24, step=24, by=("model",))
        shown = database.read_transaction(partial(read_usage, query=query))
        assert sum(row.sums[COST] for row in shown.rows if row.key == (model,)) == expected > 0
    database.close()


@pytest.mark.long
def test_story_5_no_prompt_answer_or_end_user_leaves_by_otlp_even_where_contents_are_kept(
    server: Served, collector: WebhookReceiver
) -> None:
    ask(server, "5" * 32, "carol@x.org", text=f"{SECRET} where?")
    until(lambda: "5" * 32 in [each["traceId"] for each in spans(collector)])
    kept = graphql(server, '{ records(filter: {trace: "%s"}) { rows { contents { request } } } }' % ("5" * 32))
    assert SECRET in str(kept.data), kept
    assert SECRET not in str(spans(collector)) and "carol" not in str(spans(collector))
