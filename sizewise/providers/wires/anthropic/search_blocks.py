"""Web searches of this server as the Messages API shows them, and turns without them, which no vendor gets; pure.

Source: the Anthropic API reference, Web search tool. `encrypted_content` and `encrypted_index` hold no text here: what
was found is no part of the conversation, and is searched for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
TOOL_NAME = "web_search"
USE, RESULT = "server_tool_use", "web_search_tool_result"
OWN_ID = "srvtoolu_sizewise_"
OWN_INDEX = "sizewise"
"""`encrypted_index` and `encrypted_content` of what this server found."""


def search_blocks(id: str, query: str, found: Sequence[Json] | None) -> tuple[Json, Json]:
    """The use of the tool and its result. `found`: results of `found_page`; None: the search failed."""
    by = {"caller": {"type": "direct"}}
    use = {"type": USE, "id": f"{OWN_ID}{id}", "name": TOOL_NAME, "input": {"query": query}, **by}
    failed = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    content: object = failed if found is None else list(found)
    return use, {"type": RESULT, "tool_use_id": use["id"], "content": content, **by}


def found_page(url: str, title: str, age: str) -> Json:
    """`age`: as the engine writes it; empty: unknown."""
    return {
        "type": "web_search_result",
        "url": url,
        "title": title,
        "encrypted_content": OWN_INDEX,
        "page_age": age or None,
    }


def citation(url: str, title: str, text: str) -> Json:
    """`text`: the beginning of what the model got of the page."""
    where = {"url": url, "title": title, "cited_text": text, "encrypted_index": OWN_INDEX}
    return {"type": "web_search_result_location", **where}


# ---- turns of a client


def is_own_search(block: Json) -> bool:
    """Whether it is a block that this server wrote."""
    id = block.get("id") if block.get("type") == USE else block.get("tool_use_id")
    return block.get("type") in (USE, RESULT) and isinstance(id, str) and id.startswith(OWN_ID)


def has_own_citations(block: Json) -> bool:
    cited = block.get("citations")
    return isinstance(cited, list) and any(map(_is_own_citation, cited))


def without_searches(turns: Sequence[Json], *, own_alone: bool) -> list[Json]:
    """The turns without searches and what cites them; a turn that held nothing else is left out. `own_alone`: those of
    the vendor stay.
    """
    return [turn for each in turns if (turn := _without(each, own_alone))["content"] != []]


def _without(turn: Json, own_alone: bool) -> Json:
    if turn.get("role") != "assistant" or not isinstance(turn.get("content"), list):
        return turn
    kept = [each for each in turn["content"] if not (is_own_search(each) if own_alone else _is_search(each))]
    return {**turn, "content": [_uncited(each, own_alone) for each in kept]}


def _is_search(block: Json) -> bool:
    kind = block.get("type")
    return kind == RESULT or (kind == USE and block.get("name") == TOOL_NAME)


def _uncited(block: Json, own_alone: bool) -> Json:
    cited = block.get("citations")
    if not isinstance(cited, list):
        return block
    left = [each for each in cited if not (_is_own_citation(each) or (not own_alone and _is_web_citation(each)))]
    if left:
        return {**block, "citations": left}
    return {name: value for name, value in block.items() if name != "citations"}


def _is_web_citation(cited: object) -> bool:
    return isinstance(cited, dict) and cited.get("type") == "web_search_result_location"


def _is_own_citation(cited: object) -> bool:
    return isinstance(cited, dict) and cited.get("encrypted_index") == OWN_INDEX
