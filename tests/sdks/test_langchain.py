"""LangChain's own standard tests for chat models and embeddings, run as they are against this server."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import httpx2
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.integration_tests import chat_models as theirs

from tests.sdks.conftest import Able

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of pydantic v1, of file names: theirs
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
)


NAMED = "what comes whole in this wire goes on as it is, its model's name too"
REFUSED: Mapping[tuple[str, str, str], str] = {
    ("chat", "openai", "_with_model_override"): NAMED,
    ("chat", "responses", "test_message_with_name"): "the Responses API has no names of people",
    ("chat", "anthropic", "test_message_with_name"): "Anthropic's wire has no names of people",
    ("chat", "anthropic", "test_audio_inputs"): "Anthropic's wire hears nothing",
    ("chat", "anthropic", "test_json_mode"): "Anthropic's wire has JSON by a schema only",
    ("responses", "anthropic", "test_json_mode"): "Anthropic's wire has JSON by a schema only",
}
"""Endpoint, wire, part of a test's name: what is refused, because the wire behind cannot say it."""


def params(able: Able, model: str) -> dict[str, Any]:
    """LangChain never closes its clients, and every async test has a loop of its own: so no connection is kept."""
    limits, trusted = httpx2.Limits(max_keepalive_connections=0), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    clients: dict[str, Any] = {
        "http_client": httpx2.Client(limits=limits, verify=trusted),
        "http_async_client": httpx2.AsyncClient(limits=limits, verify=trusted),
    }
    return {"base_url": f"{able.url}/v1", "api_key": able.key, "model": model, "max_retries": 0, **clients}


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pictures, sounds and papers lie on the web; here every download is one pixel."""

    def get(url: str, **_: object) -> httpx.Response:
        return httpx.Response(200, content=PIXEL, request=httpx.Request("GET", url))

    monkeypatch.setattr(f"{theirs.__name__}.httpx.get", get)


class Chat(ChatModelIntegrationTests):
    """What our endpoints can carry is switched on; the model behind them is the echo."""

    able: Able

    endpoint = "chat"

    @pytest.fixture(autouse=True)
    def _ask(self, able: Able, request: pytest.FixtureRequest) -> Iterator[None]:
        type(self).able = able
        for (endpoint, wire, name), reason in REFUSED.items():
            if endpoint == self.endpoint and wire in (able.wire, "*") and name in request.node.name:
                request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # Without stream_usage LangChain asks for the tokens of a stream at OpenAI's own address only.
        return params(self.able, self.able.model) | {"stream_usage": True}

    @property
    def model_override_value(self) -> str:
        return self.able.other

    @property
    def supports_image_inputs(self) -> bool:
        return True

    supports_image_urls = supports_pdf_inputs = supports_audio_inputs = supports_image_inputs
    supports_image_tool_message = supports_pdf_tool_message = supports_image_inputs
    supports_anthropic_inputs = supports_json_mode = supports_image_inputs

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": ["reasoning_output"], "stream": ["reasoning_output"]}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        model = ChatOpenAI(**self.chat_model_params)
        words = "[[think about it]] Hello"
        if not stream:
            return model.invoke(words)
        whole: Any = None
        for piece in model.stream(words):
            whole = piece if whole is None else whole + piece
        assert isinstance(whole, AIMessage)
        return whole


class TestChat(Chat):
    """ChatOpenAI on chat completions."""


class TestResponses(Chat):
    """ChatOpenAI on the Responses API."""

    endpoint = "responses"

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}


class TestEmbeddings(EmbeddingsIntegrationTests):
    able: Able

    @pytest.fixture(autouse=True)
    def _ask(self, able: Able) -> Iterator[None]:
        type(self).able = able
        yield

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        # Else it would fetch OpenAI's tokenizer from the web and send token numbers instead of texts.
        return params(self.able, self.able.vectors) | {"check_embedding_ctx_length": False}
