"""The [catalog] table: the registries that models are pulled from, and the key that signs catalog updates."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import optional_ed25519_key, url


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """Registries of model files, called by `sizewise models pull` alone, and who signs updates of the catalog."""

    hugging_face: str = setting(
        "https://huggingface.co", "Address of Hugging Face, or of a mirror with its API.", validator=url
    )
    ollama: str = setting("https://registry.ollama.ai", "Address of Ollama's registry, or of a mirror.", validator=url)
    update_key: str = setting(
        "",
        "Ed25519 public key in Base64 that signs the lists of `sizewise models update`; empty: none is accepted.",
        validator=optional_ed25519_key,
    )
