"""A fake Weaviate server: as much of its REST and gRPC APIs as the official client uses.

It is written from the client's protocol files and FakeWeaviate's documentation, not from its code, so what only this
double has proved is proved against our reading of them. It refuses what we know the real one to refuse: unknown
collections, tenants and properties, vectors of another length, keys that are wrong, more than 10,000 results.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, TypedDict
from uuid import UUID

import grpc
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    base_search_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    properties_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

VERSION = "1.33.0"
MOST = 10_000
K1, B = 1.2, 0.75

HNSW: Mapping[str, object] = {
    "cleanupIntervalSeconds": 300,
    "distance": "cosine",
    "dynamicEfMin": 100,
    "dynamicEfMax": 500,
    "dynamicEfFactor": 8,
    "ef": -1,
    "efConstruction": 128,
    "flatSearchCutoff": 40_000,
    "maxConnections": 32,
    "skip": False,
    "vectorCacheMaxObjects": 1_000_000_000_000,
}
"""What the server fills in. The double compares all, one by one."""

Value = str | float | bool | list[str] | list[float]
Op = base_pb2.Filters


class FakeWeaviateError(Exception):
    """What the server says no to; its words are what the client is told."""


class PropertySchema(TypedDict):
    name: str
    dataType: list[str]
    indexFilterable: bool
    indexSearchable: bool
    tokenization: str | None


def complete_property(said: Mapping[str, object]) -> PropertySchema:
    """With what the server fills in."""
    kind = said["dataType"]
    assert isinstance(kind, list)
    text = kind[0].startswith("text")
    return PropertySchema(
        name=str(said["name"]),
        dataType=kind,
        indexFilterable=said.get("indexFilterable", kind[0] != "blob") is True,
        indexSearchable=said.get("indexSearchable", text) is True,
        tokenization=str(said.get("tokenization", "word")) if text else None,
    )


@dataclass
class StoredObject:
    """An object."""

    id: str
    vector: list[float]
    properties: dict[str, Value]


@dataclass
class FakeCollection:
    """A collection: its schema as JSON, and its tenants' things."""

    schema: dict[str, object]
    tenants: dict[str, dict[str, StoredObject]] = field(default_factory=dict)
    read_only: set[str] = field(default_factory=set)
    """Tenants whose shard takes no writes, as when the disk is nearly full."""

    def kind(self, name: str) -> str:
        """The type of a property."""
        for each in self.properties:
            if each["name"] == name:
                return str(each["dataType"][0])
        raise FakeWeaviateError(f"no such prop with name '{name}' found in class '{self.schema['class']}'")

    @property
    def properties(self) -> list[PropertySchema]:
        listed = self.schema.setdefault("properties", [])
        assert isinstance(listed, list)
        return listed

    def objects(self, tenant: str) -> dict[str, StoredObject]:
        if tenant not in self.tenants:
            raise FakeWeaviateError(
                f'tenant not found: "{tenant}"' if tenant else "multi-tenancy is enabled, but no tenant given",
            )
        return self.tenants[tenant]


class FakeWeaviate:
    """`with FakeWeaviate() as double:` listens on two free ports; `url` and `grpc` are its addresses, `received` what
    came.

    `failing`: ids that it fails to store, each with its reason. `down`: answers 503 to all.
    """

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.received: list[str] = []
        self.failing: dict[str, str] = {}
        self.down = False
        self.classes: dict[str, FakeCollection] = {}
        self.lock = threading.RLock()

    def __enter__(self) -> Self:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece: in two, the second waits 40 ms for an acknowledgement

            def do_GET(self) -> None:
                double.rest(self)

            do_POST = do_DELETE = do_PUT = do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self._grpc = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 104_858_000)])
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(FakeWeaviateGrpc(self), self._grpc)  # type: ignore[no-untyped-call]  # made by protoc
        well = grpc.unary_unary_rpc_method_handler(
            lambda _, __: health_weaviate_pb2.WeaviateHealthCheckResponse(status="SERVING"),
            request_deserializer=health_weaviate_pb2.WeaviateHealthCheckRequest.FromString,
            response_serializer=health_weaviate_pb2.WeaviateHealthCheckResponse.SerializeToString,
        )
        health = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": well})
        self._grpc.add_generic_rpc_handlers((health,))
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.url, self.grpc = f"http://127.0.0.1:{self._http.server_port}", f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(0).wait()
        self._http.shutdown()
        self._http.server_close()

    def found(self, name: str) -> FakeCollection:
        if name not in self.classes:
            raise FakeWeaviateError(f"could not find class {name} in schema")
        return self.classes[name]

    # REST

    def rest(self, call: BaseHTTPRequestHandler) -> None:
        size = int(call.headers.get("content-length") or 0)
        body = json.loads(call.rfile.read(size) or b"null")
        path = call.path.partition("?")[0]
        self.received.append(f"{call.command} {path}")
        status, said = 503, error_body("out of service")
        if self.down:
            pass
        elif self.key and call.headers.get("authorization") != f"Bearer {self.key}":
            status, said = 401, error_body("anonymous access not enabled")
        else:
            try:
                with self.lock:
                    status, said = self._rested(call.command, path.removeprefix("/v1").strip("/").split("/"), body)
            except FakeWeaviateError as refused:
                status, said = 422, error_body(str(refused))
        payload = json.dumps(said).encode() if said is not None else b""
        call.send_response(status)
        call.send_header("content-type", "application/json")
        call.send_header("content-length", str(len(payload)))
        call.end_headers()
        call.wfile.write(b"" if call.command == "HEAD" else payload)

    def _rested(self, verb: str, path: list[str], body: object) -> tuple[int, object]:
        match verb, path:
            case "GET", ["meta"]:
                return 200, {"version": VERSION, "hostname": self.url, "modules": {}}
            case "GET", [".well-known", "ready" | "live"]:
                return 200, None
            case "GET", ["schema"]:
                return 200, {"classes": [each.schema for each in self.classes.values()]}
            case "POST", ["schema"] if isinstance(body, dict):
                return 200, self._created(body)
            case "GET", ["schema", name] if name in self.classes:
                return 200, self.classes[name].schema
            case "DELETE", ["schema", name]:
                self.classes.pop(name, None)
                return 200, None
            case "POST", ["schema", name, "properties"] if isinstance(body, dict):
                its = self.found(name).properties
                if any(each["name"] == body["name"] for each in its):
                    raise FakeWeaviateError(f'class "{name}": conflict for property "{body["name"]}": already in use')
                its.append(complete_property(body))
                return 200, body
            case "POST", ["schema", name, "tenants"] if isinstance(body, list):
                for each in body:
                    self.found(name).tenants.setdefault(each["name"], {})
                return 200, body
            case "DELETE", ["schema", name, "tenants"] if isinstance(body, list):
                for each in body:
                    self.found(name).tenants.pop(each, None)
                return 200, None
            case (("GET" | "HEAD"), ["schema", name, "tenants", tenant]) if tenant in self.found(name).tenants:
                return 200, {"name": tenant, "activityStatus": "ACTIVE"}
        return 404, error_body(f"{verb} {'/'.join(path)} is not here")

    def _created(self, schema: dict[str, object]) -> dict[str, object]:
        name = str(schema["class"])
        if name in self.classes:
            raise FakeWeaviateError(f'class name "{name}" already exists')
        inverted = schema.setdefault("invertedIndexConfig", {})
        assert isinstance(inverted, dict)
        inverted.setdefault("bm25", {"b": B, "k1": K1})
        inverted.setdefault("cleanupIntervalSeconds", 60)
        inverted.setdefault("stopwords", {}).setdefault("preset", "en")
        inverted["stopwords"] |= {"additions": None, "removals": None}
        schema.setdefault("replicationConfig", {"factor": 1})
        vectors = schema.get("vectorConfig") or {}
        assert isinstance(vectors, dict)
        for each in vectors.values():
            each["vectorIndexConfig"] = {**HNSW, **each.get("vectorIndexConfig", {})}
        listed = schema.get("properties") or []
        assert isinstance(listed, list)
        schema["properties"] = [complete_property(each) for each in listed]
        self.classes[name] = FakeCollection(schema)
        return schema


def error_body(words: str) -> object:
    return {"error": [{"message": words}]}


class FakeWeaviateGrpc(weaviate_pb2_grpc.WeaviateServicer):
    """gRPC."""

    def __init__(self, double: FakeWeaviate) -> None:
        self._double = double

    def BatchObjects(
        self,
        request: batch_pb2.BatchObjectsRequest,
        context: grpc.ServicerContext,
    ) -> batch_pb2.BatchObjectsReply:
        with self._guarded("BatchObjects", context):
            errors = []
            for index, each in enumerate(request.objects):
                try:
                    self._stored(each)
                except FakeWeaviateError as refused:
                    errors.append(batch_pb2.BatchObjectsReply.BatchError(index=index, error=str(refused)))
            return batch_pb2.BatchObjectsReply(took=0.001, errors=errors)

    def _stored(self, said: batch_pb2.BatchObject) -> None:
        its = self._double.found(said.collection)
        if said.uuid in self._double.failing:
            raise FakeWeaviateError(self._double.failing[said.uuid])
        vector = floats(said.vectors[0].vector_bytes if said.vectors else said.vector_bytes)
        properties: dict[str, Value] = dict(said.properties.non_ref_properties.items())
        properties |= {each.prop_name: list(each.values) for each in said.properties.text_array_properties}
        for name, value in properties.items():
            if its.kind(name) == "blob" and not is_blob(value):  # this one makes no schema by itself
                raise FakeWeaviateError(
                    f"invalid blob property '{name}' on class '{said.collection}': not a valid blob base64 string",
                )
        things = its.objects(said.tenant)
        if said.tenant in its.read_only:
            raise FakeWeaviateError("store is read-only due to: manually set by user")
        lengths = {len(each.vector) for each in things.values()} - {len(vector)}
        if lengths:
            raise FakeWeaviateError(f"vector lengths don't match: {lengths.pop()} vs {len(vector)}")
        things[str(UUID(said.uuid))] = StoredObject(str(UUID(said.uuid)), vector, properties)

    def BatchDelete(
        self,
        request: batch_delete_pb2.BatchDeleteRequest,
        context: grpc.ServicerContext,
    ) -> batch_delete_pb2.BatchDeleteReply:
        with self._guarded("BatchDelete", context):
            its = self._double.found(request.collection)
            gone = filter_objects(its, request.tenant, request.filters)[:MOST]
            if request.tenant in its.read_only and gone:
                return batch_delete_pb2.BatchDeleteReply(took=0.001, matches=len(gone), failed=1)
            for each in gone:
                del its.tenants[request.tenant][each.id]
            return batch_delete_pb2.BatchDeleteReply(took=0.001, matches=len(gone), successful=len(gone))

    def TenantsGet(
        self,
        request: tenants_pb2.TenantsGetRequest,
        context: grpc.ServicerContext,
    ) -> tenants_pb2.TenantsGetReply:
        with self._guarded("TenantsGet", context):
            there = self._double.found(request.collection).tenants
            named = [each for each in request.names.values if each in there] if request.HasField("names") else there
            active = tenants_pb2.TenantActivityStatus.TENANT_ACTIVITY_STATUS_ACTIVE
            told = [tenants_pb2.Tenant(name=name, activity_status=active) for name in named]
            return tenants_pb2.TenantsGetReply(took=0.001, tenants=told)

    def Aggregate(
        self,
        request: aggregate_pb2.AggregateRequest,
        context: grpc.ServicerContext,
    ) -> aggregate_pb2.AggregateReply:
        with self._guarded("Aggregate", context):
            found = filter_objects(self._double.found(request.collection), request.tenant, request.filters)
            single = aggregate_pb2.AggregateReply.Single(objects_count=len(found))
            return aggregate_pb2.AggregateReply(took=0.001, single_result=single)

    def Search(
        self,
        request: search_get_pb2.SearchRequest,
        context: grpc.ServicerContext,
    ) -> search_get_pb2.SearchReply:
        with self._guarded("Search", context):
            its = self._double.found(request.collection)
            if request.offset + request.limit > MOST:
                raise FakeWeaviateError(f"query maximum results exceeded: {MOST}")
            many = request.limit or 10
            found = filter_objects(its, request.tenant, request.filters)
            results = [to_result(its, request, each, *scores) for each, *scores in rank(its, request, found)[:many]]
            return search_get_pb2.SearchReply(took=0.001, results=results)

    def _guarded(self, operation: str, context: grpc.ServicerContext) -> GuardedCall:
        self._double.received.append(f"gRPC {operation}")
        said = dict(context.invocation_metadata()).get("authorization")
        if self._double.down:
            context.abort(grpc.StatusCode.INTERNAL, "out of service")
        if self._double.key and said != f"Bearer {self._double.key}":
            context.abort(grpc.StatusCode.UNKNOWN, "extract auth: unauthorized: invalid api key")
        return GuardedCall(self._double.lock, context)


class GuardedCall:
    """One call at a time; what is refused becomes the call's status."""

    def __init__(self, turn: threading.RLock, context: grpc.ServicerContext) -> None:
        self._turn = turn
        self._context = context

    def __enter__(self) -> None:
        self._turn.acquire()

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._turn.release()
        if isinstance(error, FakeWeaviateError):
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))


def is_blob(value: Value) -> bool:
    """Base64 of at least one byte."""
    try:
        return bool(base64.b64decode(str(value), validate=True))
    except ValueError:
        return False


# Searching


def rank(
    its: FakeCollection,
    request: search_get_pb2.SearchRequest,
    found: list[StoredObject],
) -> list[tuple[StoredObject, float | None, float | None]]:
    """Each with its distance, and its score."""
    if request.HasField("near_vector"):
        asked = floats(vector_of(request.near_vector))
        return [(each, distance, None) for each, distance in nearest_objects(asked, found)]
    if request.HasField("bm25_search"):
        asked_for = request.bm25_search
        return [
            (each, None, score)
            for each, score in bm25_objects(its, asked_for.query, asked_for.properties, found, request)
        ]
    if request.HasField("hybrid_search"):
        return [(each, None, score) for each, score in relative_score_fusion(its, request, found)]
    return [(each, None, None) for each in sorted(found, key=lambda each: each.id)]


def vector_of(near: base_search_pb2.NearVector | base_search_pb2.Hybrid) -> bytes:
    return near.vectors[0].vector_bytes if near.vectors else near.vector_bytes


def floats(packed: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def nearest_objects(query: list[float], found: list[StoredObject]) -> list[tuple[StoredObject, float]]:
    size = math.sqrt(sum(x * x for x in query))
    told = []
    for each in found:
        if len(each.vector) != len(query):
            raise FakeWeaviateError(f"vector lengths don't match: {len(each.vector)} vs {len(query)}")
        dot = sum(a * b for a, b in zip(query, each.vector, strict=True))
        told.append((each, 1 - dot / size / math.sqrt(sum(x * x for x in each.vector))))
    return sorted(told, key=lambda pair: (pair[1], pair[0].id))


def bm25_objects(
    its: FakeCollection,
    words: str,
    names: Iterable[str],
    found: list[StoredObject],
    request: search_get_pb2.SearchRequest,
) -> list[tuple[StoredObject, float]]:
    """BM25, with the statistics of all the tenant's things."""
    every = list(its.objects(request.tenant).values())
    scores = defaultdict[str, float](float)
    for name in names:
        its.kind(name)
        texts = {each.id: Counter(str(each.properties.get(name, "")).split()) for each in every}
        usual = sum(text.total() for text in texts.values()) / max(1, len(texts)) or 1
        for word in set(words.split()):
            having = sum(word in text for text in texts.values())
            rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            for each in found:
                if times := texts[each.id][word]:
                    spread = K1 * (1 - B + B * texts[each.id].total() / usual)
                    scores[each.id] += rarity * times * (K1 + 1) / (times + spread)
    told = [(each, scores[each.id]) for each in found if each.id in scores]
    return sorted(told, key=lambda pair: (-pair[1], pair[0].id))


def relative_score_fusion(
    its: FakeCollection,
    request: search_get_pb2.SearchRequest,
    found: list[StoredObject],
) -> list[tuple[StoredObject, float]]:
    """RelativeScoreFusion."""
    hybrid = request.hybrid_search
    if hybrid.fusion_type != base_search_pb2.Hybrid.FUSION_TYPE_RELATIVE_SCORE:
        raise FakeWeaviateError("this double fuses by relative score alone")
    alpha = hybrid.alpha_param if hybrid.use_alpha_param else hybrid.alpha
    many = max(100, request.limit)
    near = [(each, 1 - distance) for each, distance in nearest_objects(floats(vector_of(hybrid)), found)[:many]]
    said = bm25_objects(its, hybrid.query, hybrid.properties, found, request)[:many]
    summed, things = dict[str, float](), dict[str, StoredObject]()
    for half, share in ((near, alpha), (said, 1 - alpha)):
        low, high = (min(s for _, s in half), max(s for _, s in half)) if half else (0.0, 0.0)
        for each, score in half:
            scaled = (score - low) / (high - low) if high > low else 1.0
            summed[each.id] = summed.get(each.id, 0.0) + share * scaled
            things[each.id] = each
    return sorted(((things[id], score) for id, score in summed.items()), key=lambda pair: (-pair[1], pair[0].id))


def to_result(
    its: FakeCollection,
    request: search_get_pb2.SearchRequest,
    thing: StoredObject,
    distance: float | None,
    score: float | None,
) -> search_get_pb2.SearchResult:
    metadata = search_get_pb2.MetadataResult(id=thing.id, id_as_bytes=UUID(thing.id).bytes)
    if distance is not None and request.metadata.distance:
        metadata.distance, metadata.distance_present = distance, True
    if score is not None and request.metadata.score:
        metadata.score, metadata.score_present = score, True
    fields = {}
    for name in request.properties.non_ref_properties:
        kind, value = its.kind(name), thing.properties.get(name)
        if isinstance(value, str):
            blob = kind == "blob"
            fields[name] = properties_pb2.Value(blob_value=value) if blob else properties_pb2.Value(text_value=value)
        elif isinstance(value, float):
            fields[name] = properties_pb2.Value(number_value=value)
    properties = search_get_pb2.PropertiesResult(
        non_ref_props=properties_pb2.Properties(fields=fields),
        target_collection=str(its.schema["class"]),
    )
    return search_get_pb2.SearchResult(metadata=metadata, properties=properties)


# Filters


def filter_objects(its: FakeCollection, tenant: str, which: base_pb2.Filters) -> list[StoredObject]:
    things = its.objects(tenant).values()
    passes = compile_filter(its, which) if which.operator != Op.OPERATOR_UNSPECIFIED else lambda _: True
    return [each for each in things if passes(each)]


def compile_filter(its: FakeCollection, which: base_pb2.Filters) -> Callable[[StoredObject], bool]:
    parts = [compile_filter(its, each) for each in which.filters]
    if which.operator == Op.OPERATOR_AND:
        return lambda thing: all(part(thing) for part in parts)
    if which.operator == Op.OPERATOR_OR:
        return lambda thing: any(part(thing) for part in parts)
    name = which.target.property
    if name != "_id":
        kind = its.kind(name)
        wanted = "number" if which.WhichOneof("test_value") in ("value_number", "value_number_array") else "text"
        if not kind.startswith(wanted):
            raise FakeWeaviateError(f"data type filter cannot use {wanted!r} on type {kind!r}")
    if which.operator == Op.OPERATOR_CONTAINS_ANY:
        asked = set(which.value_text_array.values)
        return lambda thing: bool(asked & values(thing, name))
    if which.operator == Op.OPERATOR_EQUAL:
        return lambda thing: which.value_text in values(thing, name)
    if which.operator == Op.OPERATOR_NOT_EQUAL:
        return lambda thing: which.value_text not in values(thing, name)
    if which.operator in COMPARED:
        compare = COMPARED[which.operator]
        return lambda thing: any(compare(each, which.value_number) for each in numbers(thing, name))
    raise FakeWeaviateError(f"this double has no operator {which.operator}")


COMPARED: Mapping[int, Callable[[float, float], bool]] = {
    Op.OPERATOR_GREATER_THAN: lambda one, other: one > other,
    Op.OPERATOR_GREATER_THAN_EQUAL: lambda one, other: one >= other,
    Op.OPERATOR_LESS_THAN: lambda one, other: one < other,
    Op.OPERATOR_LESS_THAN_EQUAL: lambda one, other: one <= other,
}


def values(thing: StoredObject, name: str) -> set[str]:
    """`field` tokenization: a text as it is, but for space around it."""
    value = thing.id if name == "_id" else thing.properties.get(name)
    return {str(each).strip() for each in (value if isinstance(value, list) else [value]) if each is not None}


def numbers(thing: StoredObject, name: str) -> Iterator[float]:
    value = thing.properties.get(name)
    if isinstance(value, (int, float)):
        yield float(value)
