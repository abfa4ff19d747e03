"""Parser of what can be pulled: hf:owner/repo[:quantization], ollama:name[:tag], a URL, pypi:name==version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from sizewise.errors import BadRequest

ReferenceKind = Literal["hugging-face", "ollama", "url", "package"]
HUGGING_FACE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<variant>[\w.-]+))?", re.ASCII)
OLLAMA = re.compile(
    r"(?P<name>(?:[a-z0-9][\w.-]*/)?[a-z0-9][\w.-]*)(?::(?P<variant>[\w.-]+))?", re.ASCII | re.IGNORECASE
)
PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*==[\w.+!-]+)", re.ASCII)
FORMS = "hf:OWNER/REPO[:QUANTIZATION], ollama:NAME[:TAG], pypi:NAME==VERSION, or the URL of a GGUF file"


@dataclass(frozen=True, slots=True)
class ModelReference:
    """`variant`: the quantization or tag; empty: not given."""

    kind: ReferenceKind
    name: str
    variant: str = ""

    def __str__(self) -> str:
        prefix = {"hugging-face": "hf:", "ollama": "ollama:", "package": "pypi:", "url": ""}[self.kind]
        return f"{prefix}{self.name}{':' if self.variant else ''}{self.variant}"


def parse_reference(text: str) -> ModelReference | None:
    """None if the text has none of the forms, such as the name of a model in the catalog. Raises BadRequest for one
    that begins like a reference and is none.
    """
    if text.startswith(("http://", "https://")):
        if not urlsplit(text).path.lower().endswith(".gguf"):
            raise BadRequest("the URL does not end in .gguf", "Only GGUF files can run here.")
        return ModelReference("url", text)
    prefix, colon, rest = text.partition(":")
    kinds: dict[str, ReferenceKind] = {"hf": "hugging-face", "ollama": "ollama", "pypi": "package"}
    if prefix not in kinds or not colon:
        return None
    kind = kinds[prefix]
    if kind == "hugging-face":
        found = HUGGING_FACE.fullmatch(rest)
    else:
        found = OLLAMA.fullmatch(rest) if kind == "ollama" else PACKAGE.fullmatch(rest)
    if found is None:
        raise BadRequest(f"{text!r} is not a reference to a model", f"Write {FORMS}.")
    return ModelReference(kind, found["name"], found.groupdict().get("variant") or "")
