"""No provider and no model is named in the code, but where they are declared: what differs by data is a row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, docstrings, planted, stands

NAMES = """
    openai azure anthropic claude gemini gemma vertex bedrock mistral mixtral cohere groq deepseek openrouter
    huggingface fireworks xai grok ollama llama llamacpp vllm lmstudio qwen smollm gpt chatgpt command-r dall-e
"""

NAMED = re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, NAMES.split()))})(?![a-z])[\w.-]*", re.IGNORECASE)
"""A whole word, with a version behind it or not: gpt-4o, qwen2.5-coder, OpenAI's; not `phishing`."""

AT_HOME = ("sizewise/providers/", "sizewise/catalog/", "sizewise/testing/")
"""Where they are declared and spoken to, and doubles of them. Docstrings and comments may speak of them anywhere."""

SPOKEN: Mapping[tuple[str, str], str] = {
    ("sizewise/model_card.py", "openai"): "the default of `wire`: a protocol, declared in pyproject.toml",
    ("sizewise/settings/models.py", "openai"): "the default of `wire`",
    ("sizewise/settings/catalog.py", "huggingface"): "the default address of a setting",
    ("sizewise/settings/catalog.py", "ollama"): "the default address of a setting, and which one it is",
    ("sizewise/guardrails/secrets.py", "xai"): "the beginning of a key, which is what is looked for",
    ("sizewise/gateway/openapi.py", "openai"): "says which API an operation is; decides nothing",
    ("sizewise/gateway/openapi.py", "anthropic"): "the same",
    ("sizewise/cli/import_.py", "openai"): "the format that a command imports",
    ("sizewise/cli/import_evals.py", "openai"): "the same",
    ("sizewise/cli/dataset_export.py", "openai"): "the format that it writes",
    ("sizewise/evals/datasets/item_formats.py", "openai"): "the same",
}
"""(file, name) -> why it may stand there all the same."""


def names(file: Source) -> Iterator[str]:
    if file.within(*AT_HOME):
        return
    documents = docstrings(file.tree)
    for node in file.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and node not in documents:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            for match in NAMED.finditer(text):
                if (file.path, match[1].lower()) not in SPOKEN:
                    yield file.at(
                        node,
                        f"{match[0]!r} is named in the code: make it a row of the catalog or a setting",
                    )


def test_no_provider_or_model_is_named_in_the_code() -> None:
    stands(names, "sizewise")


@pytest.mark.parametrize(
    "code",
    [
        "if provider == 'anthropic': ...",
        "MODEL = 'gpt-4o'",
        "x = f'qwen2.5-{size}'",
        "y = b'openai'",
        "z = 'local/smollm2-135m'",
    ],
)
def test_the_wall_sees_a_name(code: str) -> None:
    assert planted(names, code)


@pytest.mark.parametrize("code", ["'''Like OpenAI's.'''", "x = 1  # as Anthropic does", "x = 'egptian llamas'"])
def test_the_wall_lets_documentation_speak(code: str) -> None:
    assert not planted(names, code)


def test_a_catalog_may_name_what_it_lists() -> None:
    assert not planted(names, "MODEL = 'gpt-4o'", "sizewise/catalog/planted.py")
