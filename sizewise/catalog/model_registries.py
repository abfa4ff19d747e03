"""Resolves a reference to one GGUF file: URL, size, sha256, license, quantizations; downloads no weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sizewise.catalog.model_references import ModelReference
from sizewise.catalog.resumable_download import open_url, redact_url
from sizewise.errors import BadRequest, ExternalFailure, ModelNotFound, UpstreamError
from sizewise.http.client import HttpTimeouts
from sizewise.settings.load import Settings

MAX_PAGE_BYTES = 16 << 20
MAX_LICENSE_BYTES = 1 << 20
TIMEOUTS = HttpTimeouts(connect=15.0, first_byte=30.0, between_bytes=30.0, total=60.0)
PREFERRED = "Q4_K_M"
QUANTIZATION = re.compile(
    r"(?:\A|[-._])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|BF16|F16|F32|MXFP4(?:_MOE)?|TQ\d_\d))(?=\.gguf\Z)", re.I
)
SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z", re.IGNORECASE)
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MODEL_LAYER = "application/vnd.ollama.image.model"
LICENSE_LAYER = "application/vnd.ollama.image.license"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A GGUF file. `sha256`: as the registry states it; empty: it states none. `license`: empty: unknown.

    `choices`: quantization -> bytes, of all files that could be had instead.
    """

    url: str
    file: str
    bytes: int
    sha256: str
    license: str
    quantization: str
    choices: Mapping[str, int]
    name: str  # a name for the model


async def resolve_reference(reference: ModelReference, settings: Settings) -> RemoteFile:
    """Raises ModelNotFound, BadRequest for an unknown quantization, and ExternalFailure with the next step."""
    if reference.kind == "hugging-face":
        return await _hugging_face(reference, settings)
    if reference.kind == "ollama":
        return await _ollama(reference, settings)
    file = unquote(urlsplit(reference.name).path.rpartition("/")[2])
    return RemoteFile(
        url=reference.name,
        file=file,
        bytes=await _size(reference.name, settings),
        sha256="",
        license="",
        quantization=_quantization(file),
        choices={},
        name=file,
    )


async def _hugging_face(reference: ModelReference, settings: Settings) -> RemoteFile:
    base, repository = settings.catalog.hugging_face.rstrip("/"), quote(reference.name)
    info = await _json(f"{base}/api/models/{repository}", settings, reference)
    if info.get("gated"):
        raise ExternalFailure(
            f"{reference.name!r} is gated: its license must be accepted with an account",
            "Accept it in your browser, download the file, then: sizewise models add FILE",
        )
    tree = await _json(f"{base}/api/models/{repository}/tree/main?recursive=true", settings, reference)
    files = {each["path"]: each for each in tree if str(each.get("path", "")).lower().endswith(".gguf")}
    whole = {path: each for path, each in files.items() if not SPLIT.search(path) and "mmproj" not in path.lower()}
    if not whole:
        what = "only split GGUF files" if files else "no GGUF files"
        raise ModelNotFound(f"{reference.name!r} has {what}", "Look for a repository whose name ends in -GGUF.")
    by_quantization = {_quantization(path) or path: path for path in sorted(whole, reverse=True)}
    path = by_quantization[_chosen(reference, list(by_quantization))]
    card = info.get("cardData") or {}
    tags = [str(tag).removeprefix("license:") for tag in info.get("tags") or () if str(tag).startswith("license:")]
    license_ = card.get("license_name") or card.get("license") or next(iter(tags), "")
    entry = whole[path]
    return RemoteFile(
        url=f"{base}/{repository}/resolve/main/{quote(path)}",
        file=path.rpartition("/")[2],
        bytes=int(entry["size"]),
        sha256=str((entry.get("lfs") or {}).get("oid", "")).removeprefix("sha256:"),
        license=str(license_),
        quantization=_quantization(path),
        choices={name: int(whole[each]["size"]) for name, each in by_quantization.items()},
        name=path.rpartition("/")[2],
    )


async def _ollama(reference: ModelReference, settings: Settings) -> RemoteFile:
    base, tag = settings.catalog.ollama.rstrip("/"), reference.variant or "latest"
    name = reference.name if "/" in reference.name else f"library/{reference.name}"
    manifest = await _json(f"{base}/v2/{name}/manifests/{tag}", settings, reference, accept=MANIFEST)
    layers = manifest.get("layers") or []
    model = next((each for each in layers if each.get("mediaType") == MODEL_LAYER), None)
    if model is None:
        raise ModelNotFound(f"{str(reference)!r} has no GGUF file", "Only models with one GGUF file can run here.")
    terms = [each["digest"] for each in layers if each.get("mediaType") == LICENSE_LAYER]
    texts = [await _text(f"{base}/v2/{name}/blobs/{digest}", settings, MAX_LICENSE_BYTES) for digest in terms[:3]]
    titles = [
        line for text in texts if (line := next((each.strip() for each in text.splitlines() if each.strip()), ""))
    ]
    file = f"{reference.name.replace('/', '-')}-{tag}.gguf"
    return RemoteFile(
        url=f"{base}/v2/{name}/blobs/{model['digest']}",
        file=file,
        bytes=int(model["size"]),
        sha256=str(model["digest"]).removeprefix("sha256:"),
        license="; ".join(titles)[:200],
        quantization="",
        choices={},
        name=file,
    )


def _chosen(reference: ModelReference, choices: Sequence[str]) -> str:
    """The quantization asked for, or PREFERRED, or the only one. Raises BadRequest with all of them."""
    if reference.variant:
        found = next((each for each in choices if each.lower() == reference.variant.lower()), None)
        if found is None:
            raise BadRequest(
                f"{reference.name!r} has no quantization {reference.variant!r}", f"It has {', '.join(sorted(choices))}."
            )
        return found
    if PREFERRED in choices or len(choices) == 1:
        return PREFERRED if PREFERRED in choices else choices[0]
    raise BadRequest(
        f"{reference.name!r} has several quantizations and no {PREFERRED}",
        f"Choose one: hf:{reference.name}:{sorted(choices)[0]}. It has {', '.join(sorted(choices))}.",
    )


def _quantization(path: str) -> str:
    found = QUANTIZATION.search(path)
    return found[1].upper() if found else ""


async def _json(url: str, settings: Settings, reference: ModelReference, accept: str = "application/json") -> Any:
    text = await _text(url, settings, MAX_PAGE_BYTES, accept, reference)
    try:
        return json.loads(text)
    except ValueError:
        raise ExternalFailure(
            f"{redact_url(url)!r} did not answer with JSON", "Check [catalog] in sizewise.toml."
        ) from None


async def _text(
    url: str,
    settings: Settings,
    max_bytes: int,
    accept: str = "*/*",
    reference: ModelReference | None = None,
) -> str:
    host = urlsplit(url).netloc
    try:
        async with AsyncExitStack() as stack:
            _, response = await open_url(url, settings, stack, headers=[("accept", accept)], timeouts=TIMEOUTS)
            body = await response.read(max_bytes)
    except UpstreamError as error:
        raise ExternalFailure(
            f"{host!r} cannot be reached: {error.message}", "Check the network and its proxy."
        ) from error
    if response.status in (401, 404) and reference is not None:  # Hugging Face answers 401 for what does not exist
        raise ModelNotFound(f"{host!r} has no model {reference.name!r}", "Check its spelling.", param="model")
    if response.status != 200:
        raise ExternalFailure(f"{host!r} responded with status {response.status}", "Try again later.")
    return body.decode("utf-8", "replace")


async def _size(url: str, settings: Settings) -> int:
    """The size that the server states; ExternalFailure if it states none."""
    async with AsyncExitStack() as stack:
        _, response = await open_url(url, settings, stack, headers=[("range", "bytes=0-0")], timeouts=TIMEOUTS)
        told = response.header("content-range") or ""
        length = told.rpartition("/")[2] if response.status == 206 else response.header("content-length") or ""
        if response.status not in (200, 206) or not length.isdigit():
            raise ExternalFailure(
                f"{urlsplit(url).netloc!r} responded with status {response.status}"
                if response.status not in (200, 206)
                else f"{urlsplit(url).netloc!r} does not state the size of the file",
                "Check the URL.",
            )
        return int(length)
