"""Translations of Lamatic's retrieval nodes: search, RAG, indexing, vectors, chunks, files and memory.

A Sizewise knowledge base takes whole documents and chunks and embeds them itself. So a node that makes vectors passes
on the texts instead, and an index node ingests those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import CanvasNode
from sizewise.lamatic.model_nodes import USAGE_FIELDS, model_parameters, prompt_parameters
from sizewise.lamatic.template_parser import TemplatePath, TranslationError, parse_path, split_template
from sizewise.lamatic.translator import NodeOutputs, NodeTranslation, TranslatedNode, Translator, escape_template

PASSAGES_HINT = "Each has text, title, source, page and score."
PASSAGE_FIELDS: Mapping[str, str] = {
    **dict.fromkeys(("text", "content", "data", "pageContent"), "text"),
    **dict.fromkeys(("score", "certainty"), "score"),
    **dict.fromkeys(("source", "url", "file_name"), "source"),
    "title": "title", "page": "page", "id": "id",
}  # fmt: skip
"""Lamatic's field of a search result -> our field of a passage."""

RESULTS_CODE = """\
output = passages.map((each) => ({
  ...each,
  content: each.text,
  data: each.text,
  pageContent: each.text,
  certainty: each.score,
  _additional: { certainty: each.score, score: String(each.score), id: each.id },
}));
"""
"""Adds Lamatic's field names to passages, for imported code."""
_BASE = re.compile(r"[^a-z0-9_-]+")


def _base(translator: Translator, said: object) -> str:
    name = _BASE.sub("-", str(said or "").lower()).strip("-_")[:60] if isinstance(said, str) else ""
    if not name or "{{" in str(said):
        translator.add_note("it names no vector database", "Set the knowledge base: knowledge: NAME.")
        return "documents"
    return name


def _query(translator: Translator, node: CanvasNode) -> str:
    for name in ("searchQuery", "queryField", "query"):
        if node.values.get(name):
            return translator.translate_text(node.values[name], name)
    raise TranslationError("the search has no query", "Set a query.")


def _limit(translator: Translator, said: object, most: int = 200) -> int:
    """At most `most`; 0 means all in Lamatic."""
    try:
        number = int(str(said if said not in (None, "") else 5))
    except ValueError:
        translator.add_note("its limit is not a literal number", "Set it: limit: 5.")
        return 5
    if number <= 0 or number > most:
        translator.add_note(f"its limit was {'all' if number <= 0 else number}", f"The maximum is {most}.")
    return most if number <= 0 else min(number, most)


def translate_filters(translator: Translator, filters: object) -> dict[str, Json]:
    """Tag -> value, for equality filters joined by And. Raises TranslationError for others."""
    found = translator.parse_data(filters, "filters")
    if not found:
        return {}
    operands = found.get("operands", [found]) if isinstance(found, dict) else found
    joined = str(found.get("operator", "And")) if isinstance(found, dict) and "operands" in found else "And"
    if not isinstance(operands, list) or joined.lower() != "and":
        raise TranslationError(
            "filters other than `and` are not supported",
            "Search once for each, or add a tag that combines them.",
        )
    made: dict[str, Json] = {}
    for each in operands:
        path = each.get("path") if isinstance(each, dict) else None
        path = path[0] if isinstance(path, list) and len(path) == 1 else path
        value = next((each[name] for name in each if name.startswith("value")), None) if path else None
        if not isinstance(path, str) or each.get("operator") not in ("Equal", "==") or path in made:
            raise TranslationError("filters other than equality are not supported", "Compare tags for equality only.")
        made[path] = translator.translate_value(value, "filters")
    return made


def _search(translator: Translator, node: CanvasNode, mode: str) -> dict[str, Json]:
    made: dict[str, Json] = {
        "kind": "search",
        "knowledge": _base(translator, node.values.get("vectorDB")),
        "query": _query(translator, node),
        "limit": _limit(translator, node.values.get("limit")),
        "mode": mode,
    }
    if filters := translate_filters(translator, node.values.get("filters")):
        made["where"] = filters
    for name in ("certainty", "alpha", "autocut", "fusionType", "boostProperties"):
        if node.values.get(name) not in (None, "", "0", 0, False, "relativeScoreFusion"):
            translator.add_note(f"its {name} is not imported", "Filter by the score of each passage.")
    return made


def _search_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(
        "",
        {"searchResults": f"{translator.node_name(node.id)}.passages"},
        unavailable=USAGE_FIELDS,
        passage_fields=PASSAGE_FIELDS,
        compatibility_code=RESULTS_CODE,
    )


def _search_translator(mode: str) -> Json:
    def make(bench: Translator, box: CanvasNode) -> TranslatedNode:
        bench.add_note("the results are passages", PASSAGES_HINT)
        return TranslatedNode({bench.node_name(box.id): _search(bench, box, mode)})

    return make


# ---- RAG ------------------------------------------------------------------------------------------------------------


def _rag_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    id = translator.node_name(node.id)
    fields = {"modelResponse": f"{id}.text", "references": f"{_search_node_name(translator, node)}.passages"}
    return NodeOutputs(
        "",
        fields,
        text_fields=frozenset({"modelResponse"}),
        unavailable=USAGE_FIELDS,
        passage_fields=PASSAGE_FIELDS,
        compatibility_code=RESULTS_CODE,
    )


def _search_node_name(translator: Translator, node: CanvasNode) -> str:
    key = f"{node.id}\0found"
    if key not in translator.combined_names:
        translator.combined_names[key] = translator.unique_name(f"{translator.node_name(node.id)}_found")
    return translator.combined_names[key]


def _rag(translator: Translator, node: CanvasNode) -> TranslatedNode:
    id, found = translator.node_name(node.id), _search_node_name(translator, node)
    question = _query(translator, node)
    prompts = node.values.get("prompts") or node.values.get("promptTemplate") or node.values.get("systemPrompt")
    words = prompt_parameters(translator, node) if prompts else {}
    if not words.get("prompt") or (not node.values.get("prompts") and not node.values.get("promptTemplate")):
        words = {**words, "system": words.get("system") or words.get("prompt", ""), "prompt": question}
        if not words["system"]:
            del words["system"]
    words["prompt"] += "\n\n{{ " + found + ".passages | passages }}"
    translator.add_note("its passages follow the question", PASSAGES_HINT)
    searched = {**_search(translator, node, "vector")}
    return TranslatedNode({found: searched, id: {"kind": "ask", **model_parameters(translator, node), **words}})


# ---- ingestion ------------------------------------------------------------------------------------------------------

VECTORS_CODE = "output = { vectors: Array.isArray(texts) ? texts : [texts] };\n"

DOCUMENTS_CODE = """\
const all = Array.isArray(metadata) ? metadata : [metadata];
const given = Array.isArray(texts) ? texts : [texts];
const seen = {};
const tag = (value) => (["string", "number", "boolean"].includes(typeof value) ? value : JSON.stringify(value));
output = all.map((each, at) => {
  const of = each && typeof each === "object" ? each : { text: each };
  const own = of.content ?? of.text ?? of.pageContent ?? of.data;
  const text = typeof given[at] === "string" ? given[at] : own ?? JSON.stringify(of);
  const name = keys.map((key) => of[key]).filter((value) => value != null).join(" ") || "document";
  seen[name] = (seen[name] ?? 0) + 1;
  const kept = Object.entries(of).filter(([key, value]) => value != null && value !== own);
  return {
    source: seen[name] > 1 ? `${name} (${seen[name]})` : name,
    title: String(of.title ?? name),
    text: String(text),
    tags: Object.fromEntries(kept.map(([key, value]) => [key, tag(value)])),
  };
});
"""


def _vector_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(
        translator.node_name(node.id),
        {"vectors": f"{translator.node_name(node.id)}.vectors"},
        unavailable=USAGE_FIELDS,
    )


def _vectors(translator: Translator, node: CanvasNode) -> TranslatedNode:
    translator.add_note(
        "it returns the texts instead of vectors",
        "A knowledge base computes embeddings itself.",
    )
    texts = node.values.get("inputText")
    if texts in (None, ""):
        raise TranslationError("the node has no text", "Set a text.")
    made = {
        "kind": "javascript",
        "inputs": {"texts": translator.translate_value(texts, "inputText")},
        "code": VECTORS_CODE,
    }
    return TranslatedNode({translator.node_name(node.id): made})


_COUNTS: Mapping[str, str] = {"recordsIndexed": "added", "duplicateRecordsDeleted": "changed", "message": "passages"}


def _index_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    id = translator.node_name(node.id)
    if _action(node) != "index":
        return NodeOutputs(id, passthrough=True)
    return NodeOutputs("", {theirs: f"{id}.{ours}" for theirs, ours in _COUNTS.items()}, unavailable=USAGE_FIELDS)


def _action(node: CanvasNode) -> str:
    return str(node.values.get("action") or "index")


def _index(translator: Translator, node: CanvasNode) -> TranslatedNode:
    if _action(node) == "filter":
        raise TranslationError("listing records by a filter is not supported", "Use a search node with `where`.")
    if _action(node) != "index":
        raise TranslationError(
            "deleting records is not supported",
            "A knowledge base follows its sources; delete the document there.",
        )
    id = translator.node_name(node.id)
    keys = (
        translator.parse_data(node.values.get("primaryKeys"), "primaryKeys") if node.values.get("primaryKeys") else []
    )
    keys = [escape_template(str(each)) for each in (keys if isinstance(keys, list) else [keys])]
    documents = translator.unique_name(f"{id}_documents")
    inputs = {
        "texts": translator.translate_value(node.values.get("vectorsField") or [], "vectorsField"),
        "metadata": translator.translate_value(node.values.get("metadataField") or [], "metadataField"),
        "keys": keys,
    }
    translator.add_note("each text and its metadata become a document, named by its keys", f"See {documents}.")
    if node.values.get("duplicateOperation") == "skip":
        translator.add_note("a document of the same name is replaced", "Lamatic skipped it.")
    if node.values.get("webhookURL"):
        translator.add_note("its webhook is not imported", "Add an http node after it.")
    schema = {"type": "array", "items": {"type": "object"}}
    return TranslatedNode(
        {
            documents: {"kind": "javascript", "inputs": inputs, "schema": schema, "code": DOCUMENTS_CODE},
            id: {
                "kind": "ingest",
                "knowledge": _base(translator, node.values.get("vectorDB")),
                "documents": "{{ " + documents + " }}",
            },
        },
    )


CHUNKS_CODE = """\
const cut = (text, marks) => {
  if (text.length <= size) return text ? [text] : [];
  const [mark, ...finer] = marks;
  const parts = mark ? text.split(mark).map((part, at) => (at ? mark : "") + part) : [...text];
  const made = [];
  let held = "";
  for (const part of parts) {
    if (held && held.length + part.length > size) {
      made.push(held);
      held = held.slice(Math.max(0, held.length - overlap));
      if (held.length + part.length > size) held = "";
    }
    if (part.length > size) {
      if (held) made.push(held);
      made.push(...cut(part, finer));
      held = "";
    } else held += part;
  }
  if (held.trim()) made.push(held);
  return made;
};
const said = (each) => (typeof each === "string" ? each : JSON.stringify(each));
const parts = (Array.isArray(text) ? text : [text]).flatMap((each) => cut(said(each), marks));
output = { chunks: parts.map((part) => ({ pageContent: part.trim(), metadata: { loc: {} } })) };
"""


def _chunk_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(translator.node_name(node.id), {"chunks": f"{translator.node_name(node.id)}.chunks"})


def _chunks(translator: Translator, node: CanvasNode) -> TranslatedNode:
    size, overlap = _number(node.values.get("numOfChars"), 500), _number(node.values.get("overlapChars"), 0)
    marks = (
        translator.parse_data(node.values.get("separators"), "separators") if node.values.get("separators") else None
    )
    marks = (
        [escape_template(str(each).replace("\\n", "\n").replace("\\t", "\t")) for each in marks]
        if isinstance(marks, list)
        else []
    )
    recursive = node.values.get("chunkingType") != "characterTextSplitter"
    inputs = {
        "text": translator.translate_value(node.values.get("chunkField") or "", "chunkField"),
        "size": max(1, size),
        "overlap": min(overlap, max(0, size - 1)),
        "marks": [*(marks or ["\n\n", "\n", " "]), ""] if recursive else [*marks[:1], ""],
    }
    translator.add_note(
        "it splits text by characters",
        "A knowledge base splits documents at their headings, without this node.",
    )
    return TranslatedNode(
        {translator.node_name(node.id): {"kind": "javascript", "inputs": inputs, "code": CHUNKS_CODE}},
    )


def _number(said: object, other: int) -> int:
    try:
        return int(str(said))
    except ValueError:
        return other


# ---- files ----------------------------------------------------------------------------------------------------------

FILES_CODE = """\
const pages = read.pages.length && !join ? read.pages : [read.text];
output = { files: [{ metadata: { title: read.title }, data: pages, raw: [], file_path: read.name }] };
"""


def _file_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(translator.node_name(node.id), {"files": f"{translator.node_name(node.id)}.files"})


def _file(translator: Translator, node: CanvasNode) -> TranslatedNode:
    where_from = str(node.values.get("fileUrl") or "").strip().removeprefix('["').removesuffix('"]')
    found = list(split_template(where_from))
    path = parse_path(found[0][0]) if len(found) == 1 and isinstance(found[0], tuple) else None
    if not _of_trigger(translator, path):
        hint = "Pass the file itself: an input of type `file`, and a file node."
        raise TranslationError("no node can download a file", hint)
    assert path is not None
    wanted = f"{path.steps[0]}_file"
    name = translator.declare_input(wanted, "file", required=True)
    id = translator.node_name(node.id)
    read = translator.unique_name(f"{id}_read")
    translator.add_note("it takes the file itself, not its URL", f"Pass it as the input {name}.")
    if node.values.get("format") in ("csv", "xlsx", "json", "xml"):
        translator.add_note("it returns the file's text, not its rows", "Parse rows in a javascript node.")
    inputs = {"read": "{{ " + read + " }}", "join": node.values.get("joinPages") is not False}
    return TranslatedNode(
        {
            read: {"kind": "file", "file": "{{ inputs." + name + " }}"},
            id: {"kind": "javascript", "inputs": inputs, "code": FILES_CODE},
        },
    )


def _of_trigger(translator: Translator, path: TemplatePath | None) -> bool:
    box = translator.canvas.nodes.get(path.root) if path else None
    return box is not None and box.is_trigger and path is not None and len(path.steps) == 1


# ---- memory ---------------------------------------------------------------------------------------------------------


def _memory_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    id = translator.node_name(node.id)
    names = ("memories", "rawMemories") if node.type == "memoryRetrieveNode" else ("memoryActions", "extractedFacts")
    return NodeOutputs("", dict.fromkeys(names, f"{id}.memories"), unavailable=USAGE_FIELDS)


def _remember(translator: Translator, node: CanvasNode) -> TranslatedNode:
    whose = translator.translate_text(node.values.get("uniqueId") or node.values.get("sessionId"), "uniqueId")
    if not whose:
        raise TranslationError(
            "the memory has no owner",
            "Set `uniqueId`: a memory belongs to a user or session.",
        )
    turns = translator.parse_data(node.values.get("memoryValue"), "memoryValue")
    listed = turns if isinstance(turns, list) else [turns]
    texts = [
        translator.translate_text(each.get("content") if isinstance(each, Mapping) else each, "memoryValue")
        for each in listed
    ]
    if node.values.get("metadata") not in (None, "", "{}", {}):
        translator.add_note("its metadata is not imported", "Put it into the text.")
    if node.values.get("sessionId") and node.values.get("uniqueId"):
        translator.add_note(
            "memories are stored per user, across sessions",
            "Add the session to `whose` to keep sessions apart.",
        )
    translator.add_note("the text itself is stored", "No model extracts facts from it.")
    made = {"kind": "memory", "do": "remember", "whose": whose, "text": "\n".join(filter(None, texts))}
    return TranslatedNode({translator.node_name(node.id): made})


def _recall(translator: Translator, node: CanvasNode) -> TranslatedNode:
    filters = translate_filters(translator, node.values.get("filters"))
    whose = filters.pop("uniqueId", None) or filters.pop("sessionId", None) or node.values.get("uniqueId")
    if not whose:
        raise TranslationError(
            "memories of all users cannot be recalled",
            "Filter by uniqueId: a memory belongs to a user or session.",
        )
    if filters.keys() - {"sessionId"}:
        raise TranslationError("memories can only be filtered by their owner", "Search for the rest in words.")
    made = {
        "kind": "memory",
        "do": "recall",
        "whose": translator.translate_text(whose, "uniqueId") if not str(whose).startswith("{{ ") else whose,
        "text": _query(translator, node),
        "limit": _limit(translator, node.values.get("limit"), 100),
    }
    translator.add_note("memories have an ID and a text", "No model extracts facts from them.")
    return TranslatedNode({translator.node_name(node.id): made})


RETRIEVAL_NODES: Mapping[str, NodeTranslation] = {
    "searchNode": NodeTranslation("`search`, semantic", _search_outputs, _search_translator("vector")),
    "vectorSearchNode": NodeTranslation("`search`, semantic", _search_outputs, _search_translator("vector")),
    "fullTextSearchNode": NodeTranslation("`search`, keyword", _search_outputs, _search_translator("words")),
    "hybridSearchNode": NodeTranslation("`search`, hybrid", _search_outputs, _search_translator("hybrid")),
    "RAGNode": NodeTranslation("`search` and `ask`", _rag_outputs, _rag),
    "vectorizeNode": NodeTranslation("`javascript` that passes the texts on", _vector_outputs, _vectors),
    "IndexNode": NodeTranslation("`ingest`", _index_outputs, _index),
    "vectorNode": NodeTranslation("`ingest`; filter and delete are not imported", _index_outputs, _index),
    "chunkNode": NodeTranslation("`javascript` that splits text", _chunk_outputs, _chunks),
    "extractFromFileNode": NodeTranslation("`file`, if the file is passed with the call", _file_outputs, _file),
    "memoryNode": NodeTranslation("`memory` with `do: remember`", _memory_outputs, _remember),
    "memoryRetrieveNode": NodeTranslation("`memory` with `do: recall`", _memory_outputs, _recall),
}
