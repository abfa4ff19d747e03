"""Model lists of providers with `models = ["*"]`, as last received, in `<home>/offered-models.json`; sends nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.settings.load import Settings
from sizewise.settings.models import ProviderSettings

ALL_MODELS = "*"
FILE = "offered-models.json"
MAX_MODELS = 2_000
"""Models of one provider."""
MODEL_NAME = re.compile(r"[!-~]{1,200}\Z")
EMBEDDING_NAME = re.compile(r"embed|minilm|(?:\A|[/_-])(?:bge|e5|gte)-", re.IGNORECASE)
OTHER_TASK = re.compile(
    r"whisper|transcri|(?:\A|[/_-])(?:tts|asr|stt)(?:[/_-]|\Z)|dall-e|sora|imagen|veo-|image|video|moderation|realtime"
    r"|rerank|(?:\A|[/-])(?:babbage|davinci)-",
    re.IGNORECASE,
)
"""Names of models for speech, images, moderation and the like, which none of our endpoints can call."""


class OfferedModels(Struct, frozen=True):
    """`base_url`: where the list came from; a provider at another address has another list."""

    base_url: str
    models: tuple[str, ...]


def read_offered_models(home: Path) -> Mapping[str, OfferedModels]:
    """The lists by provider name; empty if there is no readable file."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=dict[str, OfferedModels])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def write_offered_models(home: Path, lists: Mapping[str, OfferedModels]) -> None:
    """Raises OSError."""
    write_file_atomically(home / FILE, msgspec.json.format(msgspec.json.encode(lists), indent=1), 0o600)


def usable_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names of chat and embedding models, each once, at most MAX_MODELS."""
    fitting = (each for each in names if MODEL_NAME.match(each) and not OTHER_TASK.search(each))
    return tuple(dict.fromkeys(fitting))[:MAX_MODELS]


def model_names(name: str, provider: ProviderSettings, settings: Settings) -> tuple[str, ...]:
    """The models of a provider: those listed, those with settings, and with "*" those it offers and the settings name.

    So a policy that names a model of a provider is valid even while its list could not be received.
    """
    listed = [each for each in provider.models if each != ALL_MODELS]
    prefix = f"{name}/"
    named = [each for each in settings.models if each.startswith(prefix)]
    offered: tuple[str, ...] = ()
    if ALL_MODELS in provider.models:
        named += [each for each in _names_in_routing(settings) if each.startswith(prefix)]
        found = read_offered_models(settings.home).get(name)
        if found is not None and found.base_url == provider.base_url:
            offered = found.models
    return tuple(dict.fromkeys((*listed, *offered, *(each.removeprefix(prefix) for each in named))))


def _names_in_routing(settings: Settings) -> Iterable[str]:
    router = settings.router
    yield from (router.small, router.large, settings.moderation.model, *router.alias.values())
    for policy in settings.policies.values():
        models = policy.options.get("models")
        if isinstance(models, list | tuple):
            yield from (each for each in models if isinstance(each, str))
