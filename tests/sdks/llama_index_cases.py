"""LlamaIndex's ways to an answer and to vectors, run in a virtual environment of its own; prints each result."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

HERE: Any = {"api_base": f"{os.environ['SIZEWISE_URL']}/v1", "api_key": os.environ["SIZEWISE_KEY"], "max_retries": 0}
MODEL = os.environ["MODEL"]
MESSAGES = [ChatMessage(role="user", content="one two three")]


class City(BaseModel):
    name: str
    people: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain over {city}"


def main() -> dict[str, object]:
    chat = OpenAILike(
        **HERE,
        model=MODEL,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
        context_window=8000,
    )
    text = OpenAILike(**HERE, model=MODEL, is_chat_model=False, context_window=8000)
    responses = OpenAIResponses(**HERE, model=MODEL, context_window=8000)
    vectors = OpenAILikeEmbedding(**HERE, model_name=os.environ["VECTORS"])
    found = vectors.get_text_embedding_batch(["one", "two", "one"])
    return {
        "chat": chat.chat(MESSAGES).message.content,
        "chat streamed": [each.delta for each in chat.stream_chat(MESSAGES) if each.delta],
        "completion": text.complete("one two three").text,
        "completion streamed": [each.delta for each in text.stream_complete("one two three") if each.delta],
        "response": responses.chat(MESSAGES).message.content,
        "response streamed": [each.delta for each in responses.stream_chat(MESSAGES) if each.delta],
        "agent": str(asyncio.run(_agent(chat))),
        "structured": chat.structured_predict(City, PromptTemplate("'Ulm' has 128000 people")).model_dump(),
        "vectors": [len(found), found[0] == found[2] != found[1]],
    }


async def _agent(chat: OpenAILike) -> object:
    agent = FunctionAgent(tools=[weather], llm=chat, streaming=False)
    return await agent.run(user_msg="What is the weather in 'Bonn'?")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
