"""A real embedded model goes on with a prompt as it is, without a chat template: the openai SDK's `completions`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.running_server import Served, serving
from tests.stories.test_first_light import LOCAL, only

PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("texts")
    with serving(home, LOCAL, SIZEWISE_CACHE=str(only(smollm_gguf, home / "cache"))) as served:
        yield served


@pytest.fixture
def client(small: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{small.url}/v1", api_key=small.key, max_retries=0) as made:
        yield made


@pytest.mark.long
def test_no_chat_template_stands_around_the_prompt(small: Served, client: OpenAI) -> None:
    made = client.completions.create(model="small", prompt=PROMPT, max_tokens=8, temperature=0, echo=True)
    chat: Any = small.chat("small", PROMPT, max_tokens=8, temperature=0).json
    (choice,) = made.choices
    assert choice.text.startswith(PROMPT) and len(choice.text) > len(PROMPT) and choice.finish_reason == "length"
    assert made.usage is not None and made.usage.completion_tokens == 8
    assert made.usage.prompt_tokens + 10 < chat["usage"]["prompt_tokens"], "the template has more"


@pytest.mark.long
def test_a_stream_says_the_same_and_its_usage(client: OpenAI) -> None:
    asked: Any = {"model": "small", "prompt": PROMPT, "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    end, both = chunks[-1].usage, whole.usage
    assert end is not None and both is not None  # how many were cached depends on what ran before
    assert (end.prompt_tokens, end.completion_tokens) == (both.prompt_tokens, both.completion_tokens)


@pytest.mark.long
def test_log_probabilities_of_several_prompts(client: OpenAI) -> None:
    asked: Any = {"model": "small", "prompt": [PROMPT, "One, two,"], "max_tokens": 4, "logprobs": 2}
    made = client.completions.create(**asked, seed=3)
    assert [choice.index for choice in made.choices] == [0, 1]
    for choice in made.choices:
        assert choice.logprobs is not None and choice.logprobs.tokens and choice.logprobs.token_logprobs
        assert "".join(choice.logprobs.tokens) == choice.text
        assert all(len(top) >= 2 for top in choice.logprobs.top_logprobs or ())


def test_a_prompt_in_tokens_is_gone_on_with(client: OpenAI) -> None:
    made = client.completions.create(model="small", prompt=[504, 3575, 282, 4649, 314], max_tokens=4, temperature=0)
    assert made.usage is not None and made.usage.prompt_tokens == 5 and made.choices[0].text


@pytest.mark.parametrize(("more", "param"), [({"suffix": "."}, "suffix"), ({"echo": True, "logprobs": 1}, "echo")])
def test_what_llama_cpp_has_not_is_refused_by_name(client: OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.completions.create(model="small", prompt=PROMPT, **more)
    assert caught.value.param == param
