"""Typed functions as tools: what a model is shown, what it may send, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from sizewise.errors import BadRequest, ConfigError, EgressDenied
from sizewise.messages import FunctionCall, ToolCall
from sizewise.principal import Principal
from sizewise.tools.function_tool import FunctionTools, function_tool
from sizewise.tools.tool import Tool, ToolInvocation, ToolOutput, Toolset, parse_arguments

ME = Principal(tenant="acme", project="help")


class Place(Struct):
    city: str
    country: Annotated[str, Meta(description="Two letters.")] = "FR"


def weather(place: Place, days: Annotated[int, Meta(ge=1, le=7)] = 1, unit: Literal["C", "F"] = "C") -> dict[str, str]:
    """The weather of a place.

    For some days.
    """
    return {"city": place.city, "sky": "grey", "unit": unit * days}


def called(tool: Tool, **arguments: object) -> ToolOutput:
    return asyncio.run(tool.call(ToolInvocation(arguments, ME, "run/1")))


def test_a_signature_becomes_a_schema_and_a_docstring_the_description() -> None:
    tool = function_tool(weather)
    assert (tool.name, tool.description) == ("weather", "The weather of a place.\n\nFor some days.")
    properties = tool.parameters["properties"]
    assert isinstance(properties, dict)
    assert tool.parameters["type"] == "object" and tool.parameters["required"] == ["place"]
    assert properties["days"] == {"type": "integer", "minimum": 1, "maximum": 7, "default": 1}
    assert properties["unit"] == {"enum": ["C", "F"], "default": "C"}
    assert properties["place"] == {"$ref": "#/$defs/Place"}


def test_what_it_returns_is_told_as_text_and_as_json() -> None:
    result = called(function_tool(weather), place={"city": "Lyon"}, days=2)
    assert (
        result.text == '{"city":"Lyon","sky":"grey","unit":"CC"}'
        and bytes(result.data or b"") == b'{"city":"Lyon","sky":"grey","unit":"CC"}'
    )
    assert called(function_tool(giving("as it is"))).text == "as it is"


def giving(value: object) -> Callable[..., object]:
    def no_arguments() -> object:
        return value

    return no_arguments


@pytest.mark.parametrize(
    "wrong",
    [{}, {"place": "Lyon"}, {"place": {"city": 3}}, {"place": {"city": "Lyon"}, "days": 9}, {"plaice": 1}],
)
def test_wrong_arguments_are_a_failed_result_that_says_what_is_wrong(wrong: dict[str, object]) -> None:
    result = called(function_tool(weather), **wrong)
    assert result.failed and "invalid arguments" in result.text


def test_a_function_that_wants_the_call_is_given_it_and_models_do_not_see_that() -> None:
    async def whose(call: ToolInvocation, greeting: str = "for") -> str:
        """Whose."""
        return f"{greeting} {call.principal.tenant} {call.idempotency_key}"

    tool = function_tool(whose)
    assert tool.parameters["properties"] == {"greeting": {"type": "string", "default": "for"}}
    assert called(tool).text == "for acme run/1"
    assert called(tool, call="forged").failed


def test_what_it_raises_is_a_failure_without_its_words_and_a_refusal_of_ours_is_raised() -> None:
    def breaks(secret: str) -> str:
        raise RuntimeError(secret)

    def refused() -> str:
        raise EgressDenied("nothing may go there")

    def asks() -> str:
        raise BadRequest("there is no such city", "spell it")

    result = called(function_tool(breaks), secret="hunter2")
    assert result.failed and "RuntimeError" in result.text and "hunter2" not in result.text
    assert called(function_tool(asks)) == ToolOutput("there is no such city: spell it", failed=True)
    with pytest.raises(EgressDenied):
        called(function_tool(refused))


def test_a_tool_that_hangs_is_stopped_and_a_result_that_is_endless_is_cut() -> None:
    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    assert "was stopped" in called(function_tool(hangs, timeout_s=0.02)).text
    long = called(function_tool(giving("x" * 100_000)))
    assert long.truncated_chars == 100_000 - 65_536 and len(long.text) < 65_600 and "left out" in long.text


def test_arguments_have_a_bound_before_anything_is_called() -> None:
    assert "longer than" in called(function_tool(giving("")), words="x" * 300_000).text
    for text in ("[1]", "{", '{"a": 1} {"b"', "nul", "[" * 100_000, "x" * 300_000):
        with pytest.raises(BadRequest):
            parse_arguments(ToolCall(FunctionCall("f", text)))
    assert parse_arguments(ToolCall(FunctionCall("f", ""))) == {}


def test_what_json_cannot_say_is_refused_when_the_house_is_built_not_when_it_is_called() -> None:
    def star(*words: str) -> str:
        return ""

    def bare(word) -> str:  # type: ignore[no-untyped-def]  # that is the point
        return ""

    for wrong in (star, bare):
        with pytest.raises(ConfigError, match="JSON"):
            function_tool(wrong)
    with pytest.raises(ConfigError, match="not a valid tool name"):
        function_tool(weather, "rm -rf")


async def test_a_shelf_offers_what_is_on_the_list_and_finds_by_name_or_beginning() -> None:
    tools = [function_tool(giving(str(n)), name) for n, name in enumerate(["read_file", "read_mail", "send_mail"])]

    shelf = Toolset([FunctionTools(tools)], ["read_*"])
    assert [each.name for each in await shelf.tools(ME)] == ["read_file", "read_mail"]
    assert [each.name for each in await shelf.select(["read_mail", "read_*"], ME)] == ["read_mail", "read_file"]
    with pytest.raises(BadRequest, match="there is no tool 'send_mail'"):
        await shelf.select(["send_mail"], ME)


async def test_the_installation_has_a_clock() -> None:
    (clock,) = await Toolset([FunctionTools()]).select(["clock"], ME)
    told = await clock.call(ToolInvocation({"zone": "Europe/Paris"}, ME))
    assert not told.failed and told.text.split()[-1] in ("CET", "CEST")
    assert (await clock.call(ToolInvocation({"zone": "../../etc/passwd"}, ME))).failed
