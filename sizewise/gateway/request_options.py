"""Request options: the `sizewise` object of a body and `x-sizewise-*` headers -> routing options; chooses no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from sizewise.data_class import DataClass
from sizewise.errors import BadBody
from sizewise.handler import (
    NO_OPTIONS,
    RequestOptions,
)
from sizewise.money import PICO_PER_DOLLAR
from sizewise.prompt_reference import PromptReference
from sizewise.telemetry.request_labels import MAX_TAG_CHARS, MAX_TAGS, is_tag

DecimalText = Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,12})?$")]


class PromptOption(Struct, forbid_unknown_fields=True):
    """A prompt of the folder `prompts` by id, and the values of its variables."""

    id: Annotated[str, Meta(max_length=200)]
    version: Annotated[str, Meta(max_length=64)] | None = None
    variables: dict[str, Any] = {}


class SizewiseOptions(Struct, forbid_unknown_fields=True, rename="kebab"):
    """Routing options: the `sizewise` object of a body, or `x-sizewise-*` headers of the same names."""

    policy: (
        Annotated[
            str, Meta(max_length=200, description="A policy under [policies]; `auto:NAME` as a model is the same.")
        ]
        | None
    ) = None
    max_cost_usd: DecimalText | Annotated[float, Meta(ge=0, le=1e9)] | None = None
    max_ms: Annotated[int, Meta(ge=1, description="Milliseconds until the answer must be complete.")] | None = None
    min_quality: Annotated[float, Meta(ge=0, le=1, description="A certified quality.")] | None = None
    min_window: (
        Annotated[int, Meta(ge=1, le=1_000_000_000, description="Tokens of context that the model must have.")] | None
    ) = None
    data_class: DataClass | None = None
    online: Literal["deny", "allow"] | None = None
    session: Annotated[str, Meta(max_length=200, description="The client's id of a conversation.")] | None = None
    idempotency_key: Annotated[str, Meta(max_length=200, description="The same as `idempotency-key`.")] | None = None
    cache: Literal["no-cache", "no-store"] | None = None
    progress: bool | None = None
    end_user: (
        Annotated[str, Meta(max_length=512, description="The client's own user; kept as a keyed hash.")] | None
    ) = None
    tags: str | list[str] | None = None
    prompt: Annotated[str, Meta(max_length=200)] | PromptOption | None = None
    tool_calls: (
        Annotated[bool, Meta(description="Of a flow: the reply lists its agents' tool calls, with their contents.")]
        | None
    ) = None


_HEADER_NAME: Mapping[str, str] = {name.replace("-", "_"): name for name in SizewiseOptions.__struct_encode_fields__}


def parse_options(headers: dict[str, str], body: Raw | None) -> RequestOptions:
    """Headers win over the body, but can only tighten its data class and `online`. Raises BadBody."""
    if not headers and body is None:
        return NO_OPTIONS
    try:
        inside = (msgspec.json.decode(body, type=dict[str, object] | None) if body is not None else None) or {}
        said = {_HEADER_NAME.get(name, name): value for name, value in inside.items() if value is not None}
        strict = _stricter(headers.get("data-class"), said.get("data-class"))
        merged: dict[str, object] = {**said, **headers, **({"data-class": strict} if strict else {})}
        if "deny" in (headers.get("online"), said.get("online")):
            merged["online"] = "deny"
        seen = msgspec.convert(merged, SizewiseOptions, strict=False)
    except msgspec.ValidationError as error:
        reason = (
            re.sub(r"Expected `str` matching regex \S+", 'expected an amount in dollars, such as "0.25"', str(error))
            .replace("Object contains unknown field", "there is no option named")
            .replace(" - at `$.", " - at `")
            .replace(" | null`", "`")
        )
        raise BadBody(f"`sizewise`: {reason}", f"known: {', '.join(sorted(_HEADER_NAME))}", param="sizewise") from error
    return RequestOptions(
        policy=seen.policy,
        max_cost=None if seen.max_cost_usd is None else round(float(seen.max_cost_usd) * PICO_PER_DOLLAR),
        max_latency_ms=seen.max_ms,
        min_quality=seen.min_quality,
        data_class=seen.data_class,
        online=seen.online,
        session=seen.session,
        idempotency_key=seen.idempotency_key,
        cache=seen.cache,
        min_context_tokens=seen.min_window,
        progress=seen.progress or UNSET,
        end_user=seen.end_user or UNSET,
        tags=_tags(seen.tags) or UNSET,
        prompt=UNSET if seen.prompt is None else _prompt(seen.prompt),
        tool_calls=seen.tool_calls or UNSET,
    )


def _prompt(given: str | PromptOption) -> PromptReference:
    """`ID` or `ID@VERSION`, as a header has it, or an object."""
    if isinstance(given, str):
        id, _, version = given.partition("@")
        return PromptReference(id, version, {})
    return PromptReference(given.id, given.version or "", given.variables)


def read_tags(given: str | list[str] | None) -> tuple[str, ...]:
    """Of a list, or of words between commas; unchecked."""
    words = given.split(",") if isinstance(given, str) else given or []
    return tuple(sorted({word.strip() for word in words} - {""}))


def _tags(given: str | list[str] | None) -> tuple[str, ...]:
    """Raises BadBody."""
    tags = read_tags(given)
    if len(tags) > MAX_TAGS or not all(map(is_tag, tags)):
        raise BadBody(
            "`sizewise`: `tags` has too many tags, or one that is too long or not printable",
            f"use up to {MAX_TAGS} tags of 1 to {MAX_TAG_CHARS} characters",
            param="sizewise",
        )
    return tags


def _stricter(a: object, b: object) -> object:
    order = ["public", "internal", "confidential"]
    known = [x for x in (a, b) if x in order]
    strange = [x for x in (a, b) if x is not None and x not in order]
    if strange:
        return strange[0]  # rejected by the schema, with a message
    return max(known, key=order.index) if known else None
