"""Translations of Lamatic's web nodes to http nodes that call the same APIs: Firecrawl's scrape and Serper's search.

A crawl of a whole site is not one call of an API, so it is not translated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import CanvasNode
from sizewise.lamatic.template_parser import TranslationError
from sizewise.lamatic.translator import NodeOutputs, NodeTranslation, TranslatedNode, Translator

FIRECRAWL = "https://api.firecrawl.dev"
SERPER_HOST = re.compile(r"https://[a-z]+\.serper\.dev(?:/[a-z]+)?")
FIRECRAWL_OPTIONS = ("onlyMainContent", "waitFor", "timeout", "includeTags", "excludeTags", "mobile")
SERPER_OPTIONS: Mapping[str, str] = {
    "results": "num", "country": "gl", "language": "hl", "location": "location", "page": "page", "dateRange": "tbs",
}  # fmt: skip
SINGLE, BATCH = "syncSingleScrape", "syncBatchScrape"
BATCH_CONCURRENCY = 4
URLS_CODE = """\
const said = typeof urls === "string" && urls.trim().startsWith("[") ? JSON.parse(urls) : urls;
output = Array.isArray(said) ? said : String(said ?? "").split(/[\\s,]+/).filter(Boolean);
"""
"""A list of URLs, or a text with several."""
_SPLIT = re.compile(r"[\s,]+")


def _call(translator: Translator, name: str, url: str, body: Mapping[str, Json]) -> dict[str, Json]:
    host = "/".join(url.split("/")[:3])
    translator.add_note(
        "it calls its API, whose host must be allowed", f'Allow it with its key: [hosts.{name}] url = "{host}"'
    )
    return {"kind": "http", "url": url, "method": "POST", "json": dict(body)}


def _options(node: CanvasNode, names: Mapping[str, str]) -> dict[str, Json]:
    return {
        theirs: int(said) if isinstance(said, str) and said.isdecimal() else said
        for ours, theirs in names.items()
        if (said := node.values.get(ours)) is False or said not in (None, "", [], 0)  # false may differ from a default
    }


# ---- pages ----------------------------------------------------------------------------------------------------------


def _mode(node: CanvasNode) -> str:
    return str(node.values.get("mode") or SINGLE)


def _page_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    id = translator.node_name(node.id)
    if node.type == "firecrawlNode" and _mode(node) == BATCH:
        return NodeOutputs("", {"data": f"{id}.results"})
    return NodeOutputs(f"{id}.json.data", passthrough=True)


def _scrape(translator: Translator, node: CanvasNode, url: Json) -> dict[str, Json]:
    options = _options(node, dict(zip(FIRECRAWL_OPTIONS, FIRECRAWL_OPTIONS, strict=True)))
    body = {"url": url, "formats": ["markdown", "html"], **options}
    return _call(translator, "firecrawl", f"{FIRECRAWL}/v1/scrape", body)


def _translate_page(translator: Translator, node: CanvasNode) -> TranslatedNode:
    mode = _mode(node) if node.type == "firecrawlNode" else SINGLE
    if mode == BATCH:
        return _translate_pages(translator, node)
    if mode != SINGLE:
        hint = "List the pages (syncBatchScrape), or add Firecrawl's MCP server ([mcp.NAME]) and use a tool node."
        raise TranslationError(f"a crawl ({mode[:40]}) is not one call of an API", hint)
    if not node.values.get("url"):
        raise TranslationError("the node has no URL", "Set the URL.")
    url = translator.translate_value(node.values["url"], "url")
    return TranslatedNode({translator.node_name(node.id): _scrape(translator, node, url)})


def _translate_pages(translator: Translator, node: CanvasNode) -> TranslatedNode:
    said = node.values.get("urls")
    urls: Json = [each for each in _SPLIT.split(said) if each] if isinstance(said, str) and "{{" not in said else said
    if not urls:
        raise TranslationError("the node has no URLs", "Set the URLs.")
    items = translator.translate_value(urls, "urls")
    id = translator.node_name(node.id)
    page, item = (translator.unique_name(f"{id.replace('-', '_')}_{each}") for each in ("page", "url"))
    before: dict[str, dict[str, Json]] = {}
    if isinstance(items, str):
        listed = translator.unique_name(f"{id}_urls")
        schema = {"type": "array", "items": {"type": "string"}}
        before[listed] = {"kind": "javascript", "inputs": {"urls": items}, "schema": schema, "code": URLS_CODE}
        items = "{{ " + listed + " }}"
    return TranslatedNode(
        {
            **before,
            id: {
                "kind": "each",
                "items": items,
                "name": item,
                "at_once": BATCH_CONCURRENCY,
                "nodes": {page: _scrape(translator, node, "{{ " + item + " }}")},
                "outputs": "{{ " + page + ".json.data }}",
            },
        },
    )


# ---- search ---------------------------------------------------------------------------------------------------------


def _search_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs("", {"output": f"{translator.node_name(node.id)}.json"})


def _translate_search(translator: Translator, node: CanvasNode) -> TranslatedNode:
    url = str(node.values.get("type") or "https://google.serper.dev/search")
    if SERPER_HOST.fullmatch(url) is None:
        raise TranslationError(f"the search {url[:60]!r} is not known", "Call its API with an http node.")
    if not node.values.get("query"):
        raise TranslationError("the search has no query", "Set a query.")
    query = translator.translate_text(node.values["query"], "query")
    if url.startswith("https://scrape."):
        body: dict[str, Json] = {"url": query}
    else:
        body = {"q": query, **_options(node, SERPER_OPTIONS)}
    return TranslatedNode({translator.node_name(node.id): _call(translator, "serper", url, body)})


WEB_NODES: Mapping[str, NodeTranslation] = {
    "scraperNode": NodeTranslation("`http`, Firecrawl's API", _page_outputs, _translate_page),
    "firecrawlNode": NodeTranslation(
        "`http`, Firecrawl's API; a crawl is not imported", _page_outputs, _translate_page
    ),
    "webSearchNode": NodeTranslation("`http`, Serper's API", _search_outputs, _translate_search),
}
