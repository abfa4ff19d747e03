"""The typed client of the CLI is generated: from its operations and the schema, and from nothing else."""

from __future__ import annotations

import pytest

from docs.cli_operations import OPERATIONS, SCHEMA, generate
from tests.walls.source import sources

SMALL_SCHEMA = """
scalar Dollars
enum Color { red green }
type Query { box(id: String!, color: Color, limit: Int! = 3): Box }
type Box { id: String! cacheWrite1h: Int! color: Color! costUsd: Dollars lid: Lid! boxes: [Box!]! }
type Lid { openedAt: Float }
"""
BOX = "query GetBox($id: String!, $color: Color, $limit: Int! = 3) { box(id: $id, color: $color, limit: $limit) %s }"

COLORS = "fragment Colors on Box { color }"


def test_a_fragment_becomes_a_class_and_an_operation_a_function_with_typed_variables() -> None:
    text = generate(SMALL_SCHEMA, BOX % "{ ...Box }" + "fragment Box on Box { id color costUsd }")
    assert 'Color: TypeAlias = Literal["red", "green"]\n' in text
    assert (
        'class Box(Struct, frozen=True, rename="camel"):\n    id: str\n    color: Color\n    cost_usd: Dollars | None\n'
        in text
    )
    given = text.partition("async def get_box(")[2].partition(":\n")[0]
    signature = " ".join(given.split()).replace(", ) ->", ") ->")
    assert signature == (
        "client: ApiClient, *, id: str, color: Color | UnsetType | None = UNSET, limit: int | UnsetType = UNSET"
        ") -> Box | None"
    )


def test_a_fragment_that_starts_with_another_extends_its_class() -> None:
    fragments = "fragment Box on Box { id } fragment FullBox on Box { ...Box boxes { ...Box } lid { openedAt } }"
    text = generate(SMALL_SCHEMA, BOX % "{ ...FullBox }" + fragments)
    assert 'class FullBox(Box, frozen=True, rename="camel"):\n    boxes: list[Box]\n    lid: FullBoxLid\n' in text
    assert 'class FullBoxLid(Struct, frozen=True, rename="camel"):\n    opened_at: float | None\n' in text


def test_a_name_that_camel_case_does_not_lead_back_to_is_kept() -> None:
    text = generate(SMALL_SCHEMA, BOX % "{ ...Box }" + "fragment Box on Box { cacheWrite1h }")
    assert '    cache_write1h: int = field(name="cacheWrite1h")\n' in text


def test_an_operation_sends_its_own_fragments_alone() -> None:
    fragments = "fragment Box on Box { id } fragment Lid on Lid { openedAt }"
    other = "query GetLid { box(id: $id) { lid { ...Lid } } }".replace("GetLid", "GetLid($id: String!)")
    text = generate(SMALL_SCHEMA, BOX % "{ ...Box }" + other + fragments)
    first = text.partition('GET_BOX = """')[2].partition('"""')[0]
    assert "fragment Box" in first and "fragment Lid" not in first


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        ("{ weight ...Colors }", "weight"),
        ("{ ...Colors id @skip(if: true) }", "directives"),
        ("{ ...Colors ... on Box { id } }", "inline fragments"),
        ("{ id ...Colors }", "put the fragment first"),
    ],
)
def test_what_cannot_be_generated_is_refused(selection: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        generate(SMALL_SCHEMA, BOX % selection + COLORS)


def test_a_field_that_leaves_the_schema_is_found_when_the_client_is_generated() -> None:
    schema = SCHEMA.read_text().replace("  wasViolated: Boolean!\n", "  violations: Int!\n")
    with pytest.raises(ValueError, match="wasViolated"):
        generate(schema, OPERATIONS.read_text())


def test_no_command_sends_a_query_of_its_own() -> None:
    found = {file.path for file in sources("sizewise") if ".graphql(" in "\n".join(file.lines)}
    assert found == {"sizewise/cli/operations.py"}
