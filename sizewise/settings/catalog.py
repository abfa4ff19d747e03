"""The [catalog] table: the registries that models are pulled from."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import url


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """Registries of model files. They are called by `sizewise models pull` alone."""

    hugging_face: str = setting(
        "https://huggingface.co", "Address of Hugging Face, or of a mirror with its API.", validator=url
    )
    ollama: str = setting("https://registry.ollama.ai", "Address of Ollama's registry, or of a mirror.", validator=url)
