"""A fake Weaviate server: as much of its REST and gRPC APIs as the official client uses.

It answers 363 requests as a real server did (tests/knowledge/test_weaviate_double.py): what it refuses, in which
words, how it scores, what auto-schema makes of an object without a collection, and what a read-only shard does. What
those requests do not ask is our reading of the client's protocol files.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NotRequired, Self, TypedDict
from uuid import UUID

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]  # it has no stubs
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

VERSION = "1.40.0-dev"
MOST = 10_000
K1, B = 1.2, 0.75

HNSW: Mapping[str, object] = {
    "bq": {"enabled": False},
    "cleanupIntervalSeconds": 300,
    "distance": "cosine",
    "dynamicEfFactor": 8,
    "dynamicEfMax": 500,
    "dynamicEfMin": 100,
    "ef": -1,
    "efConstruction": 128,
    "filterStrategy": "acorn",
    "flatSearchCutoff": 40_000,
    "maxConnections": 32,
    "multivector": {
        "aggregation": "maxSim",
        "enabled": False,
        "muvera": {"dprojections": 16, "enabled": False, "ksim": 4, "repetitions": 10},
    },
    "pq": {
        "bitCompression": False,
        "centroids": 256,
        "enabled": False,
        "encoder": {"distribution": "log-normal", "type": "kmeans"},
        "segments": 0,
        "trainingLimit": 100_000,
    },
    "rq": {"bits": 8, "enabled": False, "rescoreLimit": 20},
    "skip": False,
    "skipDefaultQuantization": False,
    "sq": {"enabled": False, "rescoreLimit": 20, "trainingLimit": 100_000},
    "trackDefaultQuantization": False,
    "vectorCacheMaxObjects": 1_000_000_000_000,
}
"""What the server fills in. The double compares all, one by one."""
SHARDING: Mapping[str, object] = {
    "actualCount": 0,
    "actualVirtualCount": 0,
    "desiredCount": 0,
    "desiredVirtualCount": 0,
    "function": "",
    "key": "",
    "strategy": "",
    "virtualPerPhysical": 0,
}
REPLICATION: Mapping[str, object] = {"asyncEnabled": False, "deletionStrategy": "TimeBasedResolution", "factor": 1}
TENANT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
RANK_OFFSET = 60
"""Of ranked fusion."""

Value = str | float | bool | list[str] | list[float]
Op = base_pb2.Filters


class FakeWeaviateError(Exception):
    """What the server says no to; its words are what the client is told."""


class PropertySchema(TypedDict):
    name: str
    dataType: list[str]
    indexFilterable: bool
    indexRangeFilters: bool
    indexSearchable: bool
    tokenization: NotRequired[str]
    moduleConfig: NotRequired[object]


def complete_property(said: Mapping[str, object]) -> PropertySchema:
    """With what the server fills in."""
    kind = said["dataType"]
    assert isinstance(kind, list)
    text = kind[0].startswith("text")
    made = PropertySchema(
        name=str(said["name"]),
        dataType=kind,
        indexFilterable=said.get("indexFilterable", True) is True,
        indexRangeFilters=said.get("indexRangeFilters", False) is True,
        indexSearchable=said.get("indexSearchable", text) is True,
    )
    if text:
        made["tokenization"] = str(said.get("tokenization", "word"))
    if "moduleConfig" in said:
        made["moduleConfig"] = said["moduleConfig"]
    return made


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
    lengths: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """By tenant and property: the words of each text ever written. BM25's average counts what is gone, as the server
    does until it compacts."""
    cold: set[str] = field(default_factory=set)
    read_only: set[str] = field(default_factory=set)
    """Tenants whose shard takes no writes, as when the disk is nearly full."""

    def found(self, name: str) -> PropertySchema | None:
        return next((each for each in self.properties if each["name"] == name), None)

    def kind(self, name: str) -> str:
        """The type of a property."""
        its = self.found(name)
        if its is None:
            raise FakeWeaviateError(
                f"no such prop with name '{name}' found in class '{self.name}' in the schema. "
                "Check your schema files for which properties in this class are available",
            )
        return its["dataType"][0]

    @property
    def name(self) -> str:
        return str(self.schema["class"])

    @property
    def properties(self) -> list[PropertySchema]:
        listed = self.schema.setdefault("properties", [])
        assert isinstance(listed, list)
        return listed

    @property
    def multi_tenant(self) -> bool:
        its = self.schema["multiTenancyConfig"]
        assert isinstance(its, dict)
        return its["enabled"] is True

    def objects(self, tenant: str) -> dict[str, StoredObject]:
        """Wakes a tenant that is COLD."""
        if self.multi_tenant and not tenant:
            raise FakeWeaviateError(f"class {self.name} has multi-tenancy enabled, but request was without tenant")
        if tenant and not self.multi_tenant:
            raise FakeWeaviateError(f"class {self.name} has multi-tenancy disabled, but request was with tenant")
        if tenant not in self.tenants:
            raise FakeWeaviateError(f'tenant not found: "{tenant}"')
        self.cold.discard(tenant)
        return self.tenants[tenant]


class FakeWeaviate:
    """`with FakeWeaviate() as double:` listens on two free ports; `url` and `grpc` are its addresses, `received` what
    came.

    `failing`: ids that it fails to store, each with its reason. `down`: answers 503 to all. `before_batch`: is called
    before objects are written.
    """

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.received: list[str] = []
        self.failing: dict[str, str] = {}
        self.down = False
        self.before_batch: Callable[[], object] = lambda: None
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
        status: int = 503
        said: object = error_body("out of service")
        sent = call.headers.get("authorization", "")
        if self.down:
            pass
        elif self.key and sent != f"Bearer {self.key}" and not path.startswith("/v1/.well-known/"):
            status, said = 401, {"code": 401, "message": WRONG_KEY if sent else NO_KEY}
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
                return 200, {"grpcMaxMessageSize": 104_858_000, "version": VERSION, "hostname": self.url, "modules": {}}
            case "GET", [".well-known", "ready" | "live"]:
                return 200, None
            case "GET", ["schema"]:
                return 200, {"classes": [each.schema for each in self.classes.values()]}
            case "POST", ["schema"] if isinstance(body, dict):
                if body["class"] in self.classes:
                    return 422, {"allowed": None, **error_body(f"class name {body['class']} already exists")}
                return 200, self.created(body)
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
                return 200, its[-1]
            case (("POST" | "PUT"), ["schema", name, "tenants"]) if isinstance(body, list):
                for index, each in enumerate(body):
                    if not TENANT_NAME.match(each["name"]):
                        raise FakeWeaviateError(NO_TENANT_NAME.format(index, each["name"]))
                for each in body:
                    there = self.found(name)
                    there.tenants.setdefault(each["name"], {})
                    (there.cold.add if each["activityStatus"] == "COLD" else there.cold.discard)(each["name"])
                return 200, body
            case "PUT", ["schema", name, "shards", tenant] if isinstance(body, dict):
                marked = self.found(name).read_only
                (marked.add if body["status"] == "READONLY" else marked.discard)(tenant)
                return 200, body
            case "DELETE", ["schema", name, "tenants"] if isinstance(body, list):
                there = self.found(name)
                for each in body:
                    there.tenants.pop(each, None)
                    there.lengths = {key: told for key, told in there.lengths.items() if key[0] != each}
                return 200, None
            case (("GET" | "HEAD"), ["schema", name, "tenants", tenant]) if name in self.classes:
                if not self.classes[name].multi_tenant:
                    raise FakeWeaviateError(f"multi-tenancy is not enabled for class {name!r}")
                if tenant in self.classes[name].tenants:
                    return 200, {"name": tenant, "activityStatus": "HOT"}
        return 404, error_body(f"{verb} {'/'.join(path)} is not here")

    def created(self, said: Mapping[str, object]) -> dict[str, object]:
        """Makes a collection, with what the server fills in."""
        inverted, vectors, tenancy = said.get("invertedIndexConfig"), said.get("vectorConfig"), said.get(TENANCY)
        listed = said.get("properties") or []
        assert isinstance(listed, list) and isinstance(vectors or {}, dict)
        stopwords = (inverted if isinstance(inverted, dict) else {}).get("stopwords", {})
        schema: dict[str, object] = {
            "class": said["class"],
            "invertedIndexConfig": {
                "bm25": {"b": B, "k1": K1},
                "cleanupIntervalSeconds": 60,
                "stopwords": {"additions": None, "preset": stopwords.get("preset", "en"), "removals": None},
                "usingBlockMaxWAND": True,
            },
            TENANCY: {
                "autoTenantActivation": False,
                "autoTenantCreation": False,
                "enabled": False,
                **(tenancy if isinstance(tenancy, dict) else {}),
            },
            "properties": [complete_property(each) for each in listed],
            "shardingConfig": dict(SHARDING),
            "replicationConfig": dict(REPLICATION),
            "vectorConfig": {
                name: {
                    "vectorIndexConfig": {**HNSW, **each.get("vectorIndexConfig", {})},
                    "vectorIndexType": "hnsw",
                    "vectorizer": each["vectorizer"],
                }
                for name, each in (vectors if isinstance(vectors, dict) else {}).items()
            },
        }
        its = self.classes[str(said["class"])] = FakeCollection(schema)
        if not its.multi_tenant:
            its.tenants[""] = {}
        return schema


TENANCY = "multiTenancyConfig"
NO_KEY = "anonymous access not enabled. Please authenticate through one of the available methods: [API-keys]"
WRONG_KEY = "unauthorized: invalid api key"
NO_TENANT_NAME = (
    "tenant name at index {}:  '{}' is not a valid tenant name. should only contain alphanumeric characters "
    "(a-z, A-Z, 0-9), underscore (_), and hyphen (-), with a length between 1 and 64 characters"
)


def error_body(words: str) -> dict[str, object]:
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
            self._double.before_batch()
            for index, each in enumerate(request.objects):
                try:
                    self._stored(each)
                except FakeWeaviateError as refused:
                    errors.append(batch_pb2.BatchObjectsReply.BatchError(index=index, error=str(refused)))
            return batch_pb2.BatchObjectsReply(took=0.001, errors=errors)

    def _stored(self, said: batch_pb2.BatchObject) -> None:
        if said.uuid in self._double.failing:
            raise FakeWeaviateError(self._double.failing[said.uuid])
        vector = floats(said.vectors[0].vector_bytes if said.vectors else said.vector_bytes)
        properties: dict[str, Value] = dict(said.properties.non_ref_properties.items())
        properties |= {each.prop_name: list(each.values) for each in said.properties.text_array_properties}
        its = self._auto_schema(said.collection, properties)
        things = its.objects(said.tenant)
        for name, value in properties.items():
            kind = its.kind(name)
            if kind == "blob" and not is_blob(value):
                told = f"invalid blob property '{name}' on class '{its.name}': not a valid blob base64 string"
                raise FakeWeaviateError(told)
            if kind == "number" and not isinstance(value, (int, float)):
                told = f"invalid number property '{name}' on class '{its.name}': requires a float, the given value is"
                raise FakeWeaviateError(f"{told} '{value}'")
        if said.tenant in its.read_only:
            raise FakeWeaviateError("store is read-only due to: manually set by user")
        lengths = {len(each.vector) for each in things.values()} - {len(vector)}
        if lengths:
            raise FakeWeaviateError(
                f"Validate vector index default for target vector {said.uuid}: new node has a vector with length "
                f"{len(vector)}. Existing nodes have vectors with length {lengths.pop()}: "
                "vector dimensions do not match the index dimensions",
            )
        before = things.get(str(UUID(said.uuid)))
        for name, value in properties.items():
            same = before is not None and before.properties.get(name) == value
            if isinstance(value, str) and value.split() and not same:
                its.lengths.setdefault((said.tenant, name), []).append(len(value.split()))
        things[str(UUID(said.uuid))] = StoredObject(str(UUID(said.uuid)), vector, properties)

    def _auto_schema(self, name: str, properties: Mapping[str, Value]) -> FakeCollection:
        """Makes a collection that is not there, single-tenant with texts by word, and properties that it lacks."""
        if name not in self._double.classes:
            self._double.created({"class": name, "vectorConfig": {"default": {"vectorizer": {"none": {}}}}})
        its = self._double.classes[name]
        for each, value in properties.items():
            if its.found(each) is None:
                kind = "number" if isinstance(value, float) else "text[]" if isinstance(value, list) else "text"
                its.properties.append(complete_property({"name": each, "dataType": [kind]}))
        return its

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
            cold = self._double.found(request.collection).cold
            hot = tenants_pb2.TenantActivityStatus.TENANT_ACTIVITY_STATUS_HOT
            asleep = tenants_pb2.TenantActivityStatus.TENANT_ACTIVITY_STATUS_COLD
            told = [tenants_pb2.Tenant(name=each, activity_status=asleep if each in cold else hot) for each in named]
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
            for name in request.properties.non_ref_properties:
                with prefixed(f"extract properties request: get property by name {name} for class {its.name}: "):
                    its.kind(name)
            searched = VECTOR_SEARCH if request.HasField("near_vector") else ""
            if request.offset + request.limit > MOST:
                raise FakeWeaviateError(f"{searched}{TOO_MANY.format(request.offset, request.limit, MOST)}")
            with prefixed(searched and f"{searched}object vector search at index {its.name.lower()}: "):
                its.objects(request.tenant)
            many = request.limit or 10
            found = filter_objects(its, request.tenant, request.filters)
            results = [to_result(its, request, each, *scores) for each, *scores in rank(its, request, found)[:many]]
            return search_get_pb2.SearchReply(took=0.001, results=results, generative_grouped_result="")

    def _guarded(self, operation: str, context: grpc.ServicerContext) -> GuardedCall:
        self._double.received.append(f"gRPC {operation}")
        said = dict(context.invocation_metadata()).get("authorization")
        if self._double.down:
            context.abort(grpc.StatusCode.INTERNAL, "out of service")
        if self._double.key and said != f"Bearer {self._double.key}":
            context.abort(grpc.StatusCode.UNKNOWN, f"extract auth: {WRONG_KEY}")
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


def grpc_caller(address: str, method: str, request: Mapping[str, object], key: str = "") -> tuple[str, object]:
    """Sends a request given as JSON. Returns its gRPC code, and its reply as JSON or its error as text."""
    kinds: dict[str, tuple[Any, Any]] = {
        "Aggregate": (aggregate_pb2.AggregateRequest, aggregate_pb2.AggregateReply),
        "BatchDelete": (batch_delete_pb2.BatchDeleteRequest, batch_delete_pb2.BatchDeleteReply),
        "BatchObjects": (batch_pb2.BatchObjectsRequest, batch_pb2.BatchObjectsReply),
        "Search": (search_get_pb2.SearchRequest, search_get_pb2.SearchReply),
        "TenantsGet": (tenants_pb2.TenantsGetRequest, tenants_pb2.TenantsGetReply),
    }
    sent, received = kinds[method]
    with grpc.insecure_channel(address.removeprefix("http://")) as channel:
        call = channel.unary_unary(
            f"/weaviate.v1.Weaviate/{method}",
            request_serializer=sent.SerializeToString,
            response_deserializer=received.FromString,
        )
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        try:
            reply = call(ParseDict(request, sent()), metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", MessageToDict(reply, preserving_proto_field_name=True)


# Searching

VECTOR_SEARCH = "explorer: get class: concurrentTargetVectorSearch): explorer: get class: vector search: "
TOO_MANY = (
    "invalid pagination params: query maximum results exceeded: the total limit calculated from the provided offset "
    "'{}' and limit '{}' exceeds the configured value for QUERY_MAXIMUM_RESULTS '{}'. If you've supplied a negative "
    "offset or limit, this may be an underflow error"
)


@contextmanager
def prefixed(words: str) -> Iterator[None]:
    """Puts `words` before what is refused within it."""
    try:
        yield
    except FakeWeaviateError as error:
        raise FakeWeaviateError(f"{words}{error}") from error


def check_lengths(its: FakeCollection, tenant: str, query: list[float]) -> None:
    """Raises FakeWeaviateError."""
    lengths = {len(each.vector) for each in its.objects(tenant).values()} - {len(query)}
    if lengths:
        index = its.name.lower()
        raise FakeWeaviateError(
            f"object vector search at index {index}: shard {index}_{tenant}: vector search: knn search: distance "
            f"between entrypoint and query node: {lengths.pop()} vs {len(query)}: vector lengths don't match",
        )


def rank(
    its: FakeCollection,
    request: search_get_pb2.SearchRequest,
    found: list[StoredObject],
) -> list[tuple[StoredObject, float | None, float | None]]:
    """Each with its distance, and its score."""
    if request.HasField("near_vector"):
        asked = floats(vector_of(request.near_vector))
        with prefixed(VECTOR_SEARCH):
            check_lengths(its, request.tenant, asked)
        return [(each, distance, None) for each, distance in nearest_objects(asked, found)]
    if request.HasField("bm25_search"):
        asked_for = request.bm25_search
        return [
            (each, None, score)
            for each, score in bm25_objects(its, asked_for.query, asked_for.properties, found, request)
        ]
    if request.HasField("hybrid_search"):
        return [(each, None, score) for each, score in fused(its, request, found)]
    return [(each, None, None) for each in sorted(found, key=lambda each: each.id)]


def vector_of(near: base_search_pb2.NearVector | base_search_pb2.Hybrid) -> bytes:
    return near.vectors[0].vector_bytes if near.vectors else near.vector_bytes


def floats(packed: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def nearest_objects(query: list[float], found: list[StoredObject]) -> list[tuple[StoredObject, float]]:
    size = math.sqrt(sum(x * x for x in query))
    told = []
    for each in found:
        dot = sum(a * b for a, b in zip(query, each.vector, strict=True))
        sizes = size * math.sqrt(sum(x * x for x in each.vector))
        told.append((each, 1 - dot / sizes if sizes else 1.0))  # a vector of zeros is kept, and near to nothing
    return sorted(told, key=lambda pair: (pair[1], pair[0].id))


NO_INDEX = (
    "{} by property '{}' requires inverted index. Is `{}` option of property '{}' enabled? "
    "Set it to `true` or leave empty"
)


def bm25_objects(
    its: FakeCollection,
    words: str,
    names: Iterable[str],
    found: list[StoredObject],
    request: search_get_pb2.SearchRequest,
) -> list[tuple[StoredObject, float]]:
    """BM25, with the statistics of all the tenant's things."""
    if not words:
        raise FakeWeaviateError("keyword search (bm25) must have query set")
    every = list(its.objects(request.tenant).values())
    scores = defaultdict[str, float](float)
    for name in names:
        index = its.found(name)
        if index is None or not index["indexSearchable"]:
            raise FakeWeaviateError(NO_INDEX.format("Searching", name, "indexSearchable", name))
        texts = {each.id: Counter(str(each.properties.get(name, "")).split()) for each in every}
        written = its.lengths.get((request.tenant, name), [1])
        usual = sum(written) / len(written)
        for word in words.split():  # one that is said twice counts twice
            having = sum(word in text for text in texts.values())
            rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            for each in found:
                if times := texts[each.id][word]:
                    spread = K1 * (1 - B + B * texts[each.id].total() / usual)
                    scores[each.id] += rarity * times / (times + spread)
    told = [(each, scores[each.id]) for each in found if each.id in scores]
    return sorted(told, key=lambda pair: (-pair[1], pair[0].id))


def fused(
    its: FakeCollection,
    request: search_get_pb2.SearchRequest,
    found: list[StoredObject],
) -> list[tuple[StoredObject, float]]:
    """By relative score, or by rank."""
    hybrid = request.hybrid_search
    asked = floats(vector_of(hybrid))
    with prefixed("explorer: get class: vector search: "):
        check_lengths(its, request.tenant, asked)
    alpha = hybrid.alpha_param if hybrid.use_alpha_param else hybrid.alpha
    many = max(100, request.limit)
    near = [(each, 1 - distance) for each, distance in nearest_objects(asked, found)[:many]]
    said = bm25_objects(its, hybrid.query, hybrid.properties, found, request)[:many]
    summed, things = dict[str, float](), dict[str, StoredObject]()
    for half, share in ((near, alpha), (said, 1 - alpha)):
        if not share:
            continue
        low, high = (min(s for _, s in half), max(s for _, s in half)) if half else (0.0, 0.0)
        for number, (each, score) in enumerate(half):
            scaled = (score - low) / (high - low) if high > low else 1.0
            if hybrid.fusion_type == base_search_pb2.Hybrid.FUSION_TYPE_RANKED:
                scaled = 1 / (RANK_OFFSET + number)
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
    if request.metadata.score and (score is not None or distance is not None):
        metadata.score, metadata.score_present = score or 0.0, True
    fields = {}
    for name in request.properties.non_ref_properties:
        kind, value = its.kind(name), thing.properties.get(name)
        if isinstance(value, str):
            blob = kind == "blob"
            fields[name] = properties_pb2.Value(blob_value=value) if blob else properties_pb2.Value(text_value=value)
        elif isinstance(value, float):
            fields[name] = properties_pb2.Value(number_value=value)
    properties = search_get_pb2.PropertiesResult(target_collection=its.name)
    if request.properties.non_ref_properties:
        properties.non_ref_props.CopyFrom(properties_pb2.Properties(fields=fields))
    return search_get_pb2.SearchResult(metadata=metadata, properties=properties)


# Filters


def filter_objects(its: FakeCollection, tenant: str, which: base_pb2.Filters) -> list[StoredObject]:
    things = its.objects(tenant).values()
    passes = compile_filter(its, which, tenant) if which.operator != Op.OPERATOR_UNSPECIFIED else lambda _: True
    return [each for each in things if passes(each)]


def compile_filter(its: FakeCollection, which: base_pb2.Filters, tenant: str) -> Callable[[StoredObject], bool]:
    parts = [compile_filter(its, each, tenant) for each in which.filters]
    if which.operator == Op.OPERATOR_AND:
        return lambda thing: all(part(thing) for part in parts)
    if which.operator == Op.OPERATOR_OR:
        return lambda thing: any(part(thing) for part in parts)
    name = which.target.property
    if name != "_id":
        kind = its.kind(name)
        index = its.found(name)
        if index is None or not index["indexFilterable"]:
            raise FakeWeaviateError(NO_INDEX.format("Filtering", name, "indexFilterable", name))
        given = str(which.WhichOneof("test_value")).removeprefix("value_")
        if kind.startswith("text") and not given.startswith("text"):
            shard = f"{its.name.lower()}_{tenant}"
            raise FakeWeaviateError(
                f"explorer: list class: search: object search at index {its.name.lower()}: local shard object search "
                f"{shard}: expected value to be string, got '{given}'",
            )
        if kind == "number" and given == "text":
            which = Op(operator=which.operator, target=which.target, value_number=float(which.value_text))
            if which.operator == Op.OPERATOR_EQUAL:
                return lambda thing: which.value_number in numbers(thing, name)
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
