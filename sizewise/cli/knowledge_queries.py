"""The GraphQL queries of the knowledge commands and the types of their responses; prints nothing."""

from __future__ import annotations

from msgspec import Struct

_DOCUMENT = "id source title kind state dataClass readers pages created changed addedBy notes"
BASES = "{ knowledge { name project created model documents passages waiting quarantined } }"
DOCUMENTS = f"""query ($base: String!, $after: String, $limit: Int) {{
  documents(base: $base, after: $after, limit: $limit) {{ {_DOCUMENT} }} }}"""
DOCUMENT = f"""query ($base: String!, $id: String!) {{
  document(base: $base, id: $id) {{ {_DOCUMENT} passages {{ id text page headings tokens state suspect }} }} }}"""
SEARCH = """query ($base: String!, $question: String!, $limit: Int, $mode: SearchMode, $most: DataClass) {
  passages(base: $base, query: $question, limit: $limit, mode: $mode, maxDataClass: $most) {
    id document source title text score page pages headings start end dataClass suspect citation } }"""
ADD = """mutation ($base: String!, $source: String!, $data: String, $url: String, $sha256: String, $document: JSON,
    $readers: [String!], $dataClass: DataClass) {
  addDocument(base: $base, source: $source, data: $data, url: $url, sha256: $sha256, document: $document,
      readers: $readers, dataClass: $dataClass) { source id outcome passages quarantined notes } }"""
EMBED = "mutation ($base: String!) { embedDocuments(base: $base) { embedded waiting } }"
SYNC = """mutation ($base: String!) { syncKnowledge(base: $base) {
  ingested { source id outcome passages quarantined notes } removed failed { source why } } }"""
REMOVE = "mutation ($base: String!, $id: String!) { removeDocument(base: $base, id: $id) }"
REMOVE_BASE = "mutation ($base: String!) { removeKnowledge(base: $base) }"
RELEASE = "mutation ($base: String!, $id: String!) { approveDocument(base: $base, id: $id) { passages } }"


class Base(Struct, rename="camel"):
    name: str
    project: str
    created: int
    model: str
    documents: int
    passages: int
    waiting: int
    quarantined: int


class Bases(Struct):
    knowledge: list[Base]


class Passage(Struct, rename="camel"):
    id: str
    text: str
    page: int
    headings: list[str]
    tokens: int
    state: str
    suspect: list[str]


class Document(Struct, rename="camel", omit_defaults=True):
    id: str
    source: str
    title: str
    kind: str
    state: str
    data_class: str
    readers: list[str]
    pages: int
    created: int
    changed: int
    added_by: str
    notes: list[str]
    passages: list[Passage] | None = None


class Documents(Struct):
    documents: list[Document]


class One(Struct):
    document: Document


class Found(Struct, rename="camel"):
    id: str
    document: str
    source: str
    title: str
    text: str
    score: float
    page: int
    pages: list[int]
    headings: list[str]
    start: int
    end: int
    data_class: str
    suspect: list[str]
    citation: str


class Searched(Struct):
    passages: list[Found]


class Taken(Struct):
    source: str
    id: str
    outcome: str
    passages: int
    quarantined: int
    notes: list[str]


class Added(Struct, rename="camel"):
    add_document: Taken


class Left(Struct):
    embedded: int
    waiting: int


class Embedded(Struct, rename="camel"):
    embed_documents: Left


class Failed(Struct):
    source: str
    why: str


class Synced(Struct):
    ingested: list[Taken]
    removed: list[str]
    failed: list[Failed]


class Sync(Struct, rename="camel"):
    sync_knowledge: Synced


class Removed(Struct, rename="camel"):
    remove_document: bool = False
    remove_knowledge: bool = False


class Freed(Struct):
    passages: int


class Released(Struct, rename="camel"):
    approve_document: Freed
