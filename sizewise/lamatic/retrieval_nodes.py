"""Lamatic's nodes around knowledge and memory, as nodes of ours: search, RAG, index, vectors, chunks, files; pure.

Here documents go into a knowledge base whole: it cuts and embeds them itself. So a node that made vectors hands on the
texts in their place, and an index takes these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import Box
from sizewise.lamatic.model_nodes import META, asked, said
from sizewise.lamatic.template_parser import Reach, Unsayable, pieces, reach
from sizewise.lamatic.translator import Bench, Made, Shape, Sort, plain

PASSAGES = "Each has text, title, source, page and score."
ITEMS: Mapping[str, str] = {
    **dict.fromkeys(("text", "content", "data", "pageContent"), "text"),
    **dict.fromkeys(("score", "certainty"), "score"),
    **dict.fromkeys(("source", "url", "file_name"), "source"),
    "title": "title", "page": "page", "id": "id",
}  # fmt: skip
"""What a result's fields are called there, and a passage's here."""

RESULTS = """\
output = passages.map((each) => ({
  ...each,
  content: each.text,
  data: each.text,
  pageContent: each.text,
  certainty: each.score,
  _additional: { certainty: each.score, score: String(each.score), id: each.id },
}));
"""
"""Passages under the names that results had there too, for code that knows these."""
_BASE = re.compile(r"[^a-z0-9_-]+")


def _base(bench: Bench, said: object) -> str:
    name = _BASE.sub("-", str(said or "").lower()).strip("-_")[:60] if isinstance(said, str) else ""
    if not name or "{{" in str(said):
        bench.note("it names no vector database", "Write the knowledge base's name: knowledge: NAME.")
        return "documents"
    return name


def _query(bench: Bench, box: Box) -> str:
    for name in ("searchQuery", "queryField", "query"):
        if box.values.get(name):
            return bench.text(box.values[name], name)
    raise Unsayable("it looks for nothing", "Give it a query.")


def _limit(bench: Bench, said: object, most: int = 200) -> int:
    """0 is all, there."""
    try:
        number = int(str(said if said not in (None, "") else 5))
    except ValueError:
        bench.note("its limit is no number that is written down", "Write one: limit: 5.")
        return 5
    if number <= 0 or number > most:
        bench.note(f"it asked for {'all' if number <= 0 else number}", f"{most} are the most.")
    return most if number <= 0 else min(number, most)


def where(bench: Bench, filters: object) -> dict[str, Json]:
    """Filters that compare for being equal, and all of which hold, as tags. Raises Unsayable for others."""
    found = bench.data(filters, "filters")
    if not found:
        return {}
    operands = found.get("operands", [found]) if isinstance(found, dict) else found
    joined = str(found.get("operator", "And")) if isinstance(found, dict) and "operands" in found else "And"
    if not isinstance(operands, list) or joined.lower() != "and":
        raise Unsayable("a filter of which not everything must hold", "Ask once for each, or take tags that say it.")
    made: dict[str, Json] = {}
    for each in operands:
        path = each.get("path") if isinstance(each, dict) else None
        path = path[0] if isinstance(path, list) and len(path) == 1 else path
        value = next((each[name] for name in each if name.startswith("value")), None) if path else None
        if not isinstance(path, str) or each.get("operator") not in ("Equal", "==") or path in made:
            raise Unsayable("a filter that is more than being equal", "Only equal tags can be asked for.")
        made[path] = bench.value(value, "filters")
    return made


def _search(bench: Bench, box: Box, mode: str) -> dict[str, Json]:
    made: dict[str, Json] = {
        "kind": "search",
        "knowledge": _base(bench, box.values.get("vectorDB")),
        "query": _query(bench, box),
        "limit": _limit(bench, box.values.get("limit")),
        "mode": mode,
    }
    if filters := where(bench, box.values.get("filters")):
        made["where"] = filters
    for name in ("certainty", "alpha", "autocut", "fusionType", "boostProperties"):
        if box.values.get(name) not in (None, "", "0", 0, False, "relativeScoreFusion"):
            bench.note(f"its {name} has nothing here", "Choose by the score of each passage.")
    return made


def _found_shape(bench: Bench, box: Box) -> Shape:
    return Shape("", {"searchResults": f"{bench.name(box.id)}.passages"}, gone=META, items=ITEMS, coded=RESULTS)


def _finds(mode: str) -> Json:
    def make(bench: Bench, box: Box) -> Made:
        bench.note("what it finds are passages", PASSAGES)
        return Made({bench.name(box.id): _search(bench, box, mode)})

    return make


# ---- RAG ------------------------------------------------------------------------------------------------------------


def _rag_shape(bench: Bench, box: Box) -> Shape:
    id = bench.name(box.id)
    fields = {"modelResponse": f"{id}.text", "references": f"{_found_by(bench, box)}.passages"}
    return Shape("", fields, texts=frozenset({"modelResponse"}), gone=META, items=ITEMS, coded=RESULTS)


def _found_by(bench: Bench, box: Box) -> str:
    key = f"{box.id}\0found"
    if key not in bench.whole:
        bench.whole[key] = bench.fresh(f"{bench.name(box.id)}_found")
    return bench.whole[key]


def _rag(bench: Bench, box: Box) -> Made:
    id, found = bench.name(box.id), _found_by(bench, box)
    question = _query(bench, box)
    prompts = box.values.get("prompts") or box.values.get("promptTemplate") or box.values.get("systemPrompt")
    words = said(bench, box) if prompts else {}
    if not words.get("prompt") or (not box.values.get("prompts") and not box.values.get("promptTemplate")):
        words = {**words, "system": words.get("system") or words.get("prompt", ""), "prompt": question}
        if not words["system"]:
            del words["system"]
    words["prompt"] += "\n\n{{ " + found + ".passages | passages }}"
    bench.note("its passages stand behind the question", PASSAGES)
    searched = {**_search(bench, box, "vector")}
    return Made({found: searched, id: {"kind": "ask", **asked(bench, box), **words}})


# ---- into a base ----------------------------------------------------------------------------------------------------

VECTORS = "output = { vectors: Array.isArray(texts) ? texts : [texts] };\n"

DOCUMENTS = """\
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


def _vectors_shape(bench: Bench, box: Box) -> Shape:
    return Shape(bench.name(box.id), {"vectors": f"{bench.name(box.id)}.vectors"}, gone=META)


def _vectors(bench: Bench, box: Box) -> Made:
    bench.note("it gives the texts in the place of vectors", "A knowledge base embeds what it takes in by itself.")
    texts = box.values.get("inputText")
    if texts in (None, ""):
        raise Unsayable("it has no text", "Give it one.")
    made = {"kind": "javascript", "inputs": {"texts": bench.value(texts, "inputText")}, "code": VECTORS}
    return Made({bench.name(box.id): made})


_COUNTS: Mapping[str, str] = {"recordsIndexed": "added", "duplicateRecordsDeleted": "changed", "message": "passages"}


def _index_shape(bench: Bench, box: Box) -> Shape:
    id = bench.name(box.id)
    if _action(box) != "index":
        return Shape(id, open=True)
    return Shape("", {theirs: f"{id}.{ours}" for theirs, ours in _COUNTS.items()}, gone=META)


def _action(box: Box) -> str:
    return str(box.values.get("action") or "index")


def _index(bench: Bench, box: Box) -> Made:
    if _action(box) == "filter":
        raise Unsayable("it lists records by a filter", "Search for them: a search node takes `where`.")
    if _action(box) != "index":
        raise Unsayable("it takes records out", "A base follows its sources: what is deleted there is deleted here.")
    id = bench.name(box.id)
    keys = bench.data(box.values.get("primaryKeys"), "primaryKeys") if box.values.get("primaryKeys") else []
    keys = [plain(str(each)) for each in (keys if isinstance(keys, list) else [keys])]
    documents = bench.fresh(f"{id}_documents")
    inputs = {
        "texts": bench.value(box.values.get("vectorsField") or [], "vectorsField"),
        "metadata": bench.value(box.values.get("metadataField") or [], "metadataField"),
        "keys": keys,
    }
    bench.note("a document is made of each text and its metadata, named by its keys", f"See {documents}.")
    if box.values.get("duplicateOperation") == "skip":
        bench.note("a document of the same name is replaced", "It was skipped there.")
    if box.values.get("webhookURL"):
        bench.note("its webhook is left out", "Put an http node after it.")
    schema = {"type": "array", "items": {"type": "object"}}
    return Made(
        {
            documents: {"kind": "javascript", "inputs": inputs, "schema": schema, "code": DOCUMENTS},
            id: {
                "kind": "ingest",
                "knowledge": _base(bench, box.values.get("vectorDB")),
                "documents": "{{ " + documents + " }}",
            },
        }
    )


CHUNKS = """\
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


def _chunk_shape(bench: Bench, box: Box) -> Shape:
    return Shape(bench.name(box.id), {"chunks": f"{bench.name(box.id)}.chunks"})


def _chunks(bench: Bench, box: Box) -> Made:
    size, overlap = _number(box.values.get("numOfChars"), 500), _number(box.values.get("overlapChars"), 0)
    marks = bench.data(box.values.get("separators"), "separators") if box.values.get("separators") else None
    marks = (
        [plain(str(each).replace("\\n", "\n").replace("\\t", "\t")) for each in marks]
        if isinstance(marks, list)
        else []
    )
    recursive = box.values.get("chunkingType") != "characterTextSplitter"
    inputs = {
        "text": bench.value(box.values.get("chunkField") or "", "chunkField"),
        "size": max(1, size),
        "overlap": min(overlap, max(0, size - 1)),
        "marks": [*(marks or ["\n\n", "\n", " "]), ""] if recursive else [*marks[:1], ""],
    }
    bench.note("it cuts a text by characters", "A knowledge base cuts documents by their headings, without it.")
    return Made({bench.name(box.id): {"kind": "javascript", "inputs": inputs, "code": CHUNKS}})


def _number(said: object, other: int) -> int:
    try:
        return int(str(said))
    except ValueError:
        return other


# ---- files ----------------------------------------------------------------------------------------------------------

FILES = """\
const pages = read.pages.length && !join ? read.pages : [read.text];
output = { files: [{ metadata: { title: read.title }, data: pages, raw: [], file_path: read.name }] };
"""


def _file_shape(bench: Bench, box: Box) -> Shape:
    return Shape(bench.name(box.id), {"files": f"{bench.name(box.id)}.files"})


def _file(bench: Bench, box: Box) -> Made:
    where_from = str(box.values.get("fileUrl") or "").strip().removeprefix('["').removesuffix('"]')
    found = list(pieces(where_from))
    path = reach(found[0][0]) if len(found) == 1 and isinstance(found[0], tuple) else None
    if not _of_trigger(bench, path):
        hint = "Give the flow the file itself: an input of the type file, and a file node."
        raise Unsayable("it downloads a file, which no node does here", hint)
    assert path is not None
    wanted = f"{path.steps[0]}_file"
    name = bench.input(wanted, "file", needed=True)
    id = bench.name(box.id)
    read = bench.fresh(f"{id}_read")
    bench.note("it takes the file itself, not its address", f"Give it as the input {name}.")
    if box.values.get("format") in ("csv", "xlsx", "json", "xml"):
        bench.note("it gives the file's text, not its rows", "Take rows apart in a javascript node.")
    inputs = {"read": "{{ " + read + " }}", "join": box.values.get("joinPages") is not False}
    return Made(
        {
            read: {"kind": "file", "file": "{{ inputs." + name + " }}"},
            id: {"kind": "javascript", "inputs": inputs, "code": FILES},
        }
    )


def _of_trigger(bench: Bench, path: Reach | None) -> bool:
    box = bench.drawing.boxes.get(path.root) if path else None
    return box is not None and box.trigger and path is not None and len(path.steps) == 1


# ---- memory ---------------------------------------------------------------------------------------------------------


def _memory_shape(bench: Bench, box: Box) -> Shape:
    id = bench.name(box.id)
    names = ("memories", "rawMemories") if box.type == "memoryRetrieveNode" else ("memoryActions", "extractedFacts")
    return Shape("", dict.fromkeys(names, f"{id}.memories"), gone=META)


def _remember(bench: Bench, box: Box) -> Made:
    whose = bench.text(box.values.get("uniqueId") or box.values.get("sessionId"), "uniqueId")
    if not whose:
        raise Unsayable("it says nobody whose memory it is", "Give its uniqueId: here a memory is always somebody's.")
    turns = bench.data(box.values.get("memoryValue"), "memoryValue")
    listed = turns if isinstance(turns, list) else [turns]
    texts = [bench.text(each.get("content") if isinstance(each, Mapping) else each, "memoryValue") for each in listed]
    if box.values.get("metadata") not in (None, "", "{}", {}):
        bench.note("its metadata is left out", "Write it into the text.")
    if box.values.get("sessionId") and box.values.get("uniqueId"):
        bench.note("it is kept for the person, over all sessions", "Put the session into `whose` to keep them apart.")
    bench.note("what is kept is the text itself", "Facts are not drawn out of it by a model.")
    made = {"kind": "memory", "do": "remember", "whose": whose, "text": "\n".join(filter(None, texts))}
    return Made({bench.name(box.id): made})


def _recall(bench: Bench, box: Box) -> Made:
    filters = where(bench, box.values.get("filters"))
    whose = filters.pop("uniqueId", None) or filters.pop("sessionId", None) or box.values.get("uniqueId")
    if not whose:
        raise Unsayable("it recalls everybody's memories", "Filter by uniqueId: here a memory is always somebody's.")
    if filters.keys() - {"sessionId"}:
        raise Unsayable("it filters memories by more than whose they are", "Look for it in words.")
    made = {
        "kind": "memory",
        "do": "recall",
        "whose": bench.text(whose, "uniqueId") if not str(whose).startswith("{{ ") else whose,
        "text": _query(bench, box),
        "limit": _limit(bench, box.values.get("limit"), 100),
    }
    bench.note("memories have an id and a text", "Facts are not drawn out of them by a model.")
    return Made({bench.name(box.id): made})


SORTS: Mapping[str, Sort] = {
    "searchNode": Sort("`search`, by meaning", _found_shape, _finds("vector")),
    "vectorSearchNode": Sort("`search`, by meaning", _found_shape, _finds("vector")),
    "fullTextSearchNode": Sort("`search`, by words", _found_shape, _finds("words")),
    "hybridSearchNode": Sort("`search`, by both", _found_shape, _finds("hybrid")),
    "RAGNode": Sort("`search` and `ask`", _rag_shape, _rag),
    "vectorizeNode": Sort("`javascript` that hands on the texts", _vectors_shape, _vectors),
    "IndexNode": Sort("`ingest`", _index_shape, _index),
    "vectorNode": Sort("`ingest`; filter and delete are named", _index_shape, _index),
    "chunkNode": Sort("`javascript` that cuts", _chunk_shape, _chunks),
    "extractFromFileNode": Sort("`file`, where the file comes with the call", _file_shape, _file),
    "memoryNode": Sort("`memory`, remembers", _memory_shape, _remember),
    "memoryRetrieveNode": Sort("`memory`, recalls", _memory_shape, _recall),
}
