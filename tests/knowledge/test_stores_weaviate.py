"""The store in a Weaviate, by its unmodified client: against our double, and against a real one at WEAVIATE_URL.

The double answers as a recorded server did (test_weaviate_double.py). To ask a real one, 1.27 or newer:
`WEAVIATE_URL=http://host:8080 WEAVIATE_GRPC=http://host:50051 [WEAVIATE_KEY=...] pytest tests/knowledge`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sizewise.data_class import Place
from sizewise.errors import ConfigError, EgressDenied, StorageError
from sizewise.http.egress import EgressPolicy
from sizewise.knowledge.vector_store import (
    Passage,
    PassageQuery,
    RemoteStore,
    StoreContext,
    TagRange,
    VectorStore,
)
from sizewise.knowledge.vector_stores.weaviate import WeaviateStore
from sizewise.testing import vector_store_conformance as kit

pytest.importorskip("weaviate", reason="needs the extra weaviate: pip install weaviate-client")
from weaviate.util import PYPI_PACKAGE_URL

from sizewise.knowledge.vector_stores import weaviate_client
from tests.fakes.fake_weaviate import FakeWeaviate
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG, EMBED, REBUILD, add, embed, listed, refused, search, warnings
from tests.running_server import serving, until

REAL = RemoteStore(
    os.environ.get("WEAVIATE_URL", ""),
    os.environ.get("WEAVIATE_GRPC", ""),
    os.environ.get("WEAVIATE_KEY", ""),
)


def ground(remote: RemoteStore, place: Place = "network") -> StoreContext:
    allowed: dict[str, Place] = {remote.url: place, remote.grpc: place}
    egress = EgressPolicy(allowed, {"public": "anyone", "internal": "network", "confidential": "network"})
    return StoreContext(Path(), "", remote, lambda: egress)


@pytest.fixture(scope="module", params=["double", "real"])
def remote(request: pytest.FixtureRequest) -> Iterator[RemoteStore]:
    if request.param == "real" and not REAL.url:
        pytest.skip("no WEAVIATE_URL: proved by the double alone")
    with contextlib.ExitStack() as stack:
        if request.param == "real":
            yield REAL
        else:
            double = stack.enter_context(FakeWeaviate(key="sesame"))
            yield RemoteStore(double.url, double.grpc, "sesame")


@pytest.fixture(scope="module")
def running(remote: RemoteStore) -> Iterator[tuple[asyncio.Runner, WeaviateStore]]:
    with asyncio.Runner() as runner:
        store = runner.run(opened(ground(remote)))
        yield runner, store
        runner.run(store.close())


async def opened(ground: StoreContext) -> WeaviateStore:
    return WeaviateStore(ground)


async def takes_many_at_once(store: VectorStore) -> None:
    await kit.takes_many_at_once(store, 1_000)


@pytest.mark.parametrize("check", [*kit.every(), takes_many_at_once])
def test_it_does_what_every_store_does(check: kit.Check, running: tuple[asyncio.Runner, WeaviateStore]) -> None:
    runner, store = running
    runner.run(check(store))


@pytest.mark.long
async def test_it_comes_back_with_all_that_was_there(remote: RemoteStore) -> None:
    kept = kit.base()

    for check in (kit.writes_before_restart, kit.reads_after_restart):
        store = await opened(ground(remote))
        await check(store, kept)
        await store.close()


async def test_servers_that_begin_at_once_share_what_they_make(remote: RemoteStore) -> None:
    stores = [await opened(ground(remote)) for _ in range(4)]
    mine = kit.base()
    size = 13  # of which there is no collection yet
    shelves = await asyncio.gather(*(store.open(mine, size) for store in stores))
    it = kit.passage(0)
    assert not await shelves[0].upsert([Passage(it.id, "one", kit.vector(0, size), {}, b"x", tags={"new": 1})])
    assert [await its.count() for its in shelves] == [1, 1, 1, 1]
    await stores[0].remove(mine)
    for store in stores:
        await store.close()


AUTO_SCHEMA: dict[str, object] = {
    "properties": [{"name": name, "dataType": ["text[]"]} for name in ("marks", "terms", "document", "sealed")],
    "vectorConfig": {"default": {"vectorizer": {"none": {}}}},
}
"""What a server makes by itself of an object without a collection: single-tenant, with texts by word."""


@pytest.fixture
def double() -> Iterator[FakeWeaviate]:
    with FakeWeaviate() as it:
        yield it


def settings(double: FakeWeaviate) -> str:
    return f"""{CONFIG}
[knowledge.handbook]
vector_store = "weaviate"
[knowledge.handbook.remote]
url = "{double.url}"
grpc = "{double.grpc}"
place = "network"
key = "env:WEAVIATE_KEY"
"""


@pytest.mark.long
def test_a_document_added_to_a_running_server_is_found_in_weaviate(tmp_path: Path) -> None:
    with FakeWeaviate(key="sesame") as double, serving(tmp_path, settings(double), WEAVIATE_KEY="sesame") as server:
        assert add(server, "docs/leave.md", "# Leave\n\nEverybody has thirty days of holidays.")["outcome"] == "added"
        assert embed(server) == 1
        (found, *_) = search(server, "how many days of holidays?", mode="words")
        assert found["text"] == "Everybody has thirty days of holidays."
        assert [each["state"] for each in listed(server)] == ["ready"]


@pytest.mark.long
def test_a_read_only_weaviate_is_reported_in_its_own_words_and_searched(tmp_path: Path) -> None:
    with FakeWeaviate(key="sesame") as double, serving(tmp_path, settings(double), WEAVIATE_KEY="sesame") as server:
        add(server, "one.md", "Everybody has thirty days of holidays.")
        assert embed(server) == 1
        (its,) = double.classes.values()
        its.read_only = set(its.tenants)
        add(server, "two.md", "Nobody works on Sundays.")
        (error,) = graphql(server, EMBED, base="handbook").errors
        assert "store is read-only due to: manually set by user" in error["message"]
        assert "running" not in error["extensions"]["hint"]
        assert search(server, "days of holidays", mode="words")[0]["source"] == "one.md"
        its.read_only = set()
        embed(server)  # now, unless a retry did
        until(lambda: {each["state"] for each in listed(server)} == {"ready"})
        assert search(server, "work on Sundays", mode="words")[0]["source"] == "two.md"


@pytest.mark.long
def test_a_document_is_added_to_a_weaviate_that_lost_its_collections(tmp_path: Path) -> None:
    """As with a new volume: written without a collection, auto-schema makes one in which everything fails."""
    with FakeWeaviate(key="sesame") as double, serving(tmp_path, settings(double), WEAVIATE_KEY="sesame") as server:
        add(server, "one.md", "Everybody has thirty days of holidays.")
        assert embed(server) == 1
        double.classes.clear()
        (error,) = refused(server, "days of holidays").errors
        assert "has no collection 'SizewisePassages" in error["message"]
        assert "sizewise knowledge rebuild" in error["extensions"]["hint"]
        add(server, "two.md", "Nobody works on Sundays.")
        assert embed(server) == 1
        assert search(server, "work on Sundays", mode="words")[0]["source"] == "two.md"
        assert [its.multi_tenant for its in double.classes.values()] == [True]
        assert "1 of 2 passages of 'handbook' are missing" in warnings(server, "holidays")[0]
        assert graphql(server, REBUILD, base="handbook").data["rebuildKnowledge"]["missing"] == 1
        assert embed(server) == 1
        assert search(server, "days of holidays", mode="words")[0]["source"] == "one.md"
        assert warnings(server, "holidays") == []


@pytest.mark.long
def test_a_base_moves_to_weaviate_and_leaves_no_files(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        add(server, "one.md", "Everybody has thirty days of holidays.")
        assert embed(server) == 1
    assert list((tmp_path / "passages").iterdir())
    with FakeWeaviate(key="sesame") as double, serving(tmp_path, settings(double), WEAVIATE_KEY="sesame") as server:
        planned = graphql(server, REBUILD, base="handbook", dryRun=True).data["rebuildKnowledge"]
        assert planned["missing"] == 1 and not double.classes, "a dry run creates nothing"
        assert "1 of 1 passages of 'handbook' are missing" in warnings(server, "holidays")[0]
        assert graphql(server, REBUILD, base="handbook").data["rebuildKnowledge"]["missing"] == 1
        assert embed(server) == 1
        assert search(server, "days of holidays", mode="words")[0]["source"] == "one.md"
    assert not list((tmp_path / "passages").iterdir())


@pytest.mark.long
def test_nothing_is_written_into_a_collection_that_is_not_ours(tmp_path: Path) -> None:
    with FakeWeaviate(key="sesame") as double, serving(tmp_path, settings(double), WEAVIATE_KEY="sesame") as server:
        add(server, "one.md", "Everybody has thirty days of holidays.")
        assert embed(server) == 1
        (name,) = double.classes
        for schema in AUTO_SCHEMA, {**AUTO_SCHEMA, "multiTenancyConfig": {"enabled": True}}:
            with double.lock:  # a retry of what failed may come at any time
                double.classes.clear()
                double.created({**schema, "class": name})
            add(server, "two.md", "Nobody works on Sundays.")
            for errors in graphql(server, EMBED, base="handbook").errors, refused(server, "days of holidays").errors:
                assert f"collection '{name}'" in errors[0]["message"] and "not one of Sizewise" in errors[0]["message"]
                assert "delete it" in errors[0]["extensions"]["hint"]
            assert not any(double.classes[name].tenants.values())
        del double.classes[name]
        embed(server)  # now, unless a retry did
        until(lambda: {each["state"] for each in listed(server)} == {"ready"})


async def test_a_collection_that_is_lost_while_it_is_written_is_named(double: FakeWeaviate) -> None:
    store = await opened(ground(at(double)))
    its = await store.open(kit.base(), kit.DIMENSION)
    double.before_batch = double.classes.clear
    with pytest.raises(StorageError, match="is not one of Sizewise: multi-tenancy is off") as error:
        await its.upsert([kit.passage(0)])
    assert "AUTOSCHEMA_ENABLED=false" in error.value.hint
    await store.close()


async def test_a_foreign_collection_of_another_size_is_no_obstacle(double: FakeWeaviate) -> None:
    store = await opened(ground(at(double)))
    double.created({**AUTO_SCHEMA, "class": "SizewisePassages9"})
    mine = kit.base()
    its = await store.open(mine, kit.DIMENSION)
    assert not await its.upsert([kit.passage(0)])
    await store.remove(mine)
    await store.close()


@pytest.mark.parametrize("keep", [(), (kit.passage(0).id,)])
async def test_what_a_read_only_weaviate_did_not_delete_is_an_error(
    double: FakeWeaviate, keep: tuple[str, ...]
) -> None:
    store = await opened(ground(at(double)))
    its = await store.open(kit.base(), kit.DIMENSION)
    assert not await its.upsert([kit.passage(0), kit.passage(1)])
    (collection,) = double.classes.values()
    collection.read_only = set(collection.tenants)
    with pytest.raises(StorageError, match="deleted only 0 of") as error:
        await its.delete_document("one", keep=keep)
    assert "read-only" in error.value.hint
    collection.read_only = set()
    assert await its.delete_document("one", keep=keep) == 2 - len(keep)
    await store.close()


async def test_a_key_that_is_no_longer_valid_is_called_a_wrong_key(double: FakeWeaviate) -> None:
    store = await opened(ground(at(double)))
    its = await store.open(kit.base(), kit.DIMENSION)
    double.key = "another"
    asked = kit.match_all()
    for call in (its.search(asked), its.upsert([kit.passage(0)]), its.delete_document("one"), its.count()):
        with pytest.raises(StorageError) as error:
            await call
        assert "`key`" in error.value.hint, error.value.message
    await store.close()


def at(double: FakeWeaviate) -> RemoteStore:
    return RemoteStore(double.url, double.grpc, timeout_s=5.0)


async def test_what_the_server_fails_to_store_is_told_of_each_and_logged_nowhere(
    double: FakeWeaviate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = await opened(ground(at(double)))
    its = await store.open(kit.base(), kit.DIMENSION)
    many = [kit.passage(number) for number in range(450)]
    double.failing = {many[number].id: f"shard is read-only ({number})" for number in (0, 199, 200, 449)}
    short = Passage("no uuid", "one", kit.vector(0), {}, b"")
    refused = await its.upsert([*many, short])
    assert {**refused} == {**double.failing, "no uuid": "its ID is not a UUID"}
    assert await its.count() == 446
    await store.close()
    assert [each for each in caplog.records if each.name == "weaviate-client"] == []


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_the_reasons_of_the_server_show_no_secret(double: FakeWeaviate, all_of_them: bool) -> None:
    secret = "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5"

    store = await opened(ground(at(double)))
    its = await store.open(kit.base(), kit.DIMENSION)
    many = [kit.passage(number) for number in range(4)]
    bad = many if all_of_them else many[:1]
    double.failing = {each.id: f"module refused the key {secret} of postgres://u:{secret}@h/x" for each in bad}
    refused = await its.upsert(many)
    assert len(refused) == len(bad)
    for why in refused.values():
        assert "module refused the key ***" in why and secret[8:] not in why
    await store.close()


async def test_more_tags_with_numbers_than_a_collection_should_have_are_told_of_each(
    double: FakeWeaviate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weaviate_client, "MAX_NUMERIC_PROPERTIES", 20)

    store = await opened(ground(at(double)))
    its = await store.open(kit.base(), kit.DIMENSION)
    tagged = [kit.passage(n, tags={f"tag{n}_{m}": m for m in range(6)}) for n in range(5)]
    refused = await its.upsert([*tagged, kit.passage(9, tags={"word": "not a number"})])
    assert len(refused) == 2 and all("numeric tags" in why for why in refused.values())
    assert await kit.matching_numbers(its, kit.match_all(where=TagRange("tag0_3", gte=3))) <= {0}
    assert await its.count() == 4
    await store.close()


@pytest.mark.parametrize("allowed", [{}, {"url": "network"}, {"grpc": "network"}])
async def test_nothing_goes_to_an_address_that_nobody_declared(double: FakeWeaviate, allowed: dict[str, Place]) -> None:
    places: dict[str, Place] = {getattr(double, name): place for name, place in allowed.items()}
    egress = EgressPolicy(places, {"public": "anyone", "internal": "anyone", "confidential": "anyone"})

    store = await opened(StoreContext(Path(), "", at(double), lambda: egress))
    with pytest.raises(EgressDenied, match="the settings do not declare it"):
        await store.open(kit.base(), kit.DIMENSION)
    await store.close()
    assert double.received == []


async def test_nothing_goes_further_than_its_class_may(double: FakeWeaviate) -> None:
    store = await opened(ground(at(double), "region"))
    its = await store.open(kit.base(), kit.DIMENSION)
    assert not await its.upsert([kit.passage(0, data_class="public")])
    before = list(double.received)
    with pytest.raises(EgressDenied, match="'confidential' data may reach 'network' at most"):
        await its.upsert([kit.passage(1, data_class="public"), kit.passage(2, data_class="confidential")])
    with pytest.raises(EgressDenied, match="'confidential'"):
        await its.search(kit.match_all())
    nearer = PassageQuery(kit.vector(0), {}, 1.0, data_class="public", place="network")
    with pytest.raises(EgressDenied, match="may reach 'network' at most"):
        await its.search(nearer)
    assert double.received == before
    assert await its.search(PassageQuery(kit.vector(0), {}, 1.0, data_class="public"))
    await store.close()


async def test_a_server_that_is_ill_fails_in_words_and_is_used_again_when_well(double: FakeWeaviate) -> None:
    store = await opened(ground(at(double)))
    double.down = True
    with pytest.raises(StorageError, match=r"status 503|failed|does not answer"):
        await store.open(kit.base(), kit.DIMENSION)
    double.down = False
    its = await store.open(kit.base(), kit.DIMENSION)
    double.down = True
    with pytest.raises(StorageError):
        await its.search(kit.match_all())
    with pytest.raises(StorageError):
        await its.upsert([kit.passage(0)])
    double.down = False
    assert not await its.upsert([kit.passage(0)])
    assert await kit.matching_numbers(its, kit.match_all()) == {0}
    await store.close()


async def test_a_wrong_key_and_a_wrong_address_are_told_apart() -> None:
    async def storage_error(remote: RemoteStore) -> StorageError:
        store = await opened(ground(remote))
        with pytest.raises(StorageError) as error:
            await store.open(kit.base(), kit.DIMENSION)
        await store.close()
        return error.value

    with FakeWeaviate(key="sesame") as double:
        refused = await storage_error(RemoteStore(double.url, double.grpc, "sw-wrong-key"))
        assert "key" in refused.hint and "sw-wrong-key" not in str(refused)
        swapped = await storage_error(RemoteStore(double.grpc, double.url, "sesame", 2.0))
        assert "`grpc`" in swapped.hint
    gone = await storage_error(RemoteStore(double.url, double.grpc, "sesame", 2.0))
    assert "running" in gone.hint or "`grpc`" in gone.hint


LISTENING = """
import asyncio, sys
from pathlib import Path

asked = []
def hook(event, given):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        name = str(given[0] if event != "socket.connect" else given[1][0])
        if name not in ("127.0.0.1", "localhost"):
            asked.append(name)
            raise OSError("no way out")
sys.addaudithook(hook)

from sizewise.http.egress import EgressPolicy
from sizewise.knowledge.vector_store import RemoteStore, StoreContext
from sizewise.knowledge.vector_stores.weaviate import WeaviateStore
from sizewise.testing import vector_store_conformance as kit
from tests.fakes.fake_weaviate import FakeWeaviate as Double

async def used(double):
    places = {double.url: "machine", double.grpc: "machine"}
    egress = EgressPolicy(places, {"public": "machine", "internal": "machine", "confidential": "machine"})
    store = WeaviateStore(StoreContext(Path(), "", RemoteStore(double.url, double.grpc), lambda: egress))
    await kit.replaces(store)
    await kit.filters_by_tags(store)
    await store.close()

with Double() as double:
    if "control" in sys.argv:
        import weaviate
        port = lambda url: int(url.rpartition(":")[2])
        weaviate.connect_to_local("127.0.0.1", port(double.url), port(double.grpc)).close()
    else:
        asyncio.run(used(double))
print(*sorted(set(asked)))
"""


@pytest.mark.long
@pytest.mark.parametrize("arguments, expected", [((), ""), (("control",), urlsplit(PYPI_PACKAGE_URL).hostname)])
def test_its_client_calls_nobody_else(arguments: tuple[str, ...], expected: str) -> None:
    """It does by itself: the control sees it ask PyPI."""
    done = subprocess.run([sys.executable, "-c", LISTENING, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


def test_it_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the HTTP and gRPC addresses"):
        WeaviateStore(StoreContext(Path(), "", RemoteStore("http://127.0.0.1:8080")))
    monkeypatch.setitem(sys.modules, "weaviate", None)
    with pytest.raises(ConfigError, match="needs a library") as told:
        WeaviateStore(StoreContext(Path()))
    assert "sizewise[weaviate]" in told.value.hint
