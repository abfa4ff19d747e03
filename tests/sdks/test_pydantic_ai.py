"""Pydantic AI, unchanged, through each of our endpoints: words, streams, tools, answers of a given shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, ModelRetry, NativeOutput, ToolOutput
from pydantic_ai.embeddings import Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.sdks.conftest import Able


class City(BaseModel):
    name: str
    people: int


Maker = Callable[[Able, httpx2.AsyncClient, str], Model]


def chat(able: Able, http: httpx2.AsyncClient, name: str) -> Model:
    client = AsyncOpenAI(base_url=f"{able.url}/v1", api_key=able.key, http_client=http, max_retries=0)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def responses(able: Able, http: httpx2.AsyncClient, name: str) -> Model:
    client = AsyncOpenAI(base_url=f"{able.url}/v1", api_key=able.key, http_client=http, max_retries=0)
    return OpenAIResponsesModel(name, provider=OpenAIProvider(openai_client=client))


def messages(able: Able, http: httpx2.AsyncClient, name: str) -> Model:
    client = AsyncAnthropic(base_url=able.url, api_key=able.key, http_client=http, max_retries=0)
    # Of a name that is not Claude's it believes less, unless it is told.
    profile = ModelProfile(supports_json_schema_output=True)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client), profile=profile)


@dataclass
class SdkEndpoint:
    """One of our endpoints, as this SDK knows it."""

    able: Able
    make: Maker

    @asynccontextmanager
    async def model(self, name: str = "") -> AsyncIterator[Model]:
        async with httpx2.AsyncClient() as http:
            yield self.make(self.able, http, name or self.able.model)


@pytest.fixture(params=[chat, responses, messages], ids=["chat", "responses", "messages"])
def endpoint(request: pytest.FixtureRequest, able: Able) -> SdkEndpoint:
    return SdkEndpoint(able, request.param)


async def test_an_agent_answers_and_counts_its_tokens(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model:
        result = await Agent(model, instructions="Be brief.").run("one two three")
        assert result.output == "one two three"
        assert (result.usage.input_tokens, result.usage.output_tokens) == (5, 3)


async def test_an_agent_streams_its_words(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model, Agent(model).run_stream("one two three") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        assert "".join(pieces) == "one two three" and len(pieces) >= 3
        assert result.usage.output_tokens == 3


async def test_an_agent_remembers_what_was_said(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model:
        agent = Agent(model)
        first = await agent.run("one two")
        second = await agent.run("three", message_history=first.all_messages())
        assert second.output == "three" and second.usage.input_tokens == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_calls_its_tool_and_answers_with_what_it_said(endpoint: SdkEndpoint, stream: bool) -> None:
    async with endpoint.model() as model:
        agent = Agent(model)
        asked: list[tuple[str, int]] = []

        @agent.tool_plain
        def weather(city: str, days: int) -> str:
            asked.append((city, days))
            return f"rain over {city}"

        words = "What is the weather in 'Zürich' for 3 days?"
        if stream:
            async with agent.run_stream(words) as streamed:
                output, history = await streamed.get_output(), streamed.all_messages()
        else:
            result = await agent.run(words)
            output, history = result.output, result.all_messages()
        assert asked == [("Zürich", 3)] and output == "rain over Zürich"
        parts = [type(part) for turn in history for part in turn.parts]
        assert [parts.count(kind) for kind in (ToolCallPart, ToolReturnPart)] == [1, 1]
        assert [type(turn) for turn in history] == [ModelRequest, ModelResponse] * 2


async def test_a_tool_that_wants_to_be_asked_again_is(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model:
        tries: list[int] = []

        def people(number: int) -> City:
            tries.append(number)
            if len(tries) == 1:
                raise ModelRetry("once more, please")
            return City(name="Oslo", people=number)

        result = await Agent(model, output_type=people).run("Oslo has 7 people")
        assert result.output == City(name="Oslo", people=7) and tries == [7, 7]


@pytest.mark.long
async def test_an_answer_takes_its_shape_from_a_forced_call(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model:
        result = await Agent(model, output_type=ToolOutput(City)).run("'Ulm' has 128000 people")
        assert result.output == City(name="Ulm", people=128_000)


async def test_an_answer_of_a_given_shape_streams_as_it_grows(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model:
        async with Agent(model, output_type=ToolOutput(City)).run_stream("'Ulm' has 128000 people") as result:
            grown = [each async for each in result.stream_output(debounce_by=None)]
        assert grown[-1] == City(name="Ulm", people=128_000)


async def test_an_answer_takes_its_shape_from_a_schema(endpoint: SdkEndpoint) -> None:
    async with endpoint.model() as model:
        result = await Agent(model, output_type=NativeOutput(City)).run("'Ulm' has 128000 people")
        assert isinstance(result.output, City)


async def test_a_refusal_is_the_sdks_own_error_with_our_hint(endpoint: SdkEndpoint) -> None:
    async with endpoint.model("nobody/knows") as model:
        with pytest.raises(ModelHTTPError) as caught:
            await Agent(model).run("Hello")
        assert caught.value.status_code == 404 and "hint" in str(caught.value.body)


async def test_texts_become_vectors(able: Able) -> None:
    async with AsyncOpenAI(base_url=f"{able.url}/v1", api_key=able.key) as client:
        model = OpenAIEmbeddingModel(able.vectors, provider=OpenAIProvider(openai_client=client))
        result = await Embedder(model).embed_documents(["one", "two", "one"])
        assert result.embeddings[0] == result.embeddings[2] != result.embeddings[1]
