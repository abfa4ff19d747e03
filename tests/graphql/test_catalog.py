"""What /graphql tells of the catalogue: one model by any of its names, or all of them."""

from __future__ import annotations

from tests.graphql.graphql_client import graphql
from tests.running_server import Served


def test_a_model_is_known_by_any_of_its_names(echo: Served) -> None:
    answer = graphql(
        echo,
        """query($a: String!, $b: String!, $c: String!) {
             a: catalogModel(name: $a) { name size } b: catalogModel(name: $b) { name vendor } c: catalogModel(name:
             $c) { name }
             echo: catalogModel(name: "echo/small") { name } }""",
        a="llama3:8b",
        b="anybody/GPT-4",
        c="nobody",
    )
    assert answer.data == {
        "a": {"name": "llama-3-8b", "size": "slm"},
        "b": {"name": "gpt-4", "vendor": "OpenAI"},
        "c": None,
        "echo": None,
    }


def test_the_catalog_has_every_fact_with_its_day(echo: Served) -> None:
    answer = graphql(
        echo,
        "{ catalog { name facts { name value source date unverified } memory { bytes } offers { price { input } } } }",
    )
    assert len(answer.data["catalog"]) >= 60
    for model in answer.data["catalog"]:
        for fact in model["facts"]:
            assert bool(fact["source"]) == bool(fact["date"]) == (fact["value"] != "unknown"), model["name"]


def test_a_catalog_asked_for_too_often_at_once_is_refused(echo: Served) -> None:
    many = " ".join(f"c{number}: catalog {{ name }}" for number in range(15))
    assert graphql(echo, f"{{ {many} }}").status == 400
