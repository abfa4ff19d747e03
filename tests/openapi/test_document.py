"""/openapi.json is whole and true: each route of the port is in it and nothing else, and it is valid OpenAPI 3.1."""

from __future__ import annotations

import re
from typing import Any

from starlette.routing import Route

from sizewise.gateway import studio
from sizewise.gateway.cors import EXPOSED
from sizewise.gateway.openapi import BODY_TYPES, build_document
from sizewise.gateway.request_options import SizewiseOptions
from sizewise.gateway.routes import MethodRouter, RouteEndpoint
from sizewise.graphql.request import OperationRequest
from tests.fakes.unstarted_app import unstarted_app
from tests.running_server import Served

PAGES = (
    *studio.PAGES,
    studio.FILES,
    *(
        "/embed/{body}",
        "/embed/{id}/messages",
        "/graphql/{body}",
        "/sign-in",
        "/invitation",
        "/auth/oidc/{body}",
        "/auth/oidc/{body}/callback",
        "/auth/oidc/{body}/backchannel-logout",
    ),
)
"""For people; no document of an API describes them."""


def routes() -> set[tuple[str, str]]:
    """Method and path of each route of the port, as the document spells them."""
    found: set[tuple[str, str]] = set()
    for route in unstarted_app().routes:
        if not isinstance(route, Route) or route.path in PAGES:
            continue
        path = re.sub(r"\{body(:path)?\}", "{id}", route.path)
        endpoint = route.endpoint
        if isinstance(endpoint, MethodRouter):
            found |= {(method.lower(), path) for method in endpoint._endpoints}
        else:
            found.add((endpoint._method.lower() if isinstance(endpoint, RouteEndpoint) else "post", path))
    return found


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in build_document()["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    assert set(operations()) == routes()


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    ids = [operation["operationId"] for operation in operations().values()]
    assert len(set(ids)) == len(ids)
    assert [id for id, each in zip(ids, operations().values(), strict=True) if not each["summary"]] == []


def test_every_wish_is_a_header_and_a_field_of_the_body() -> None:
    shown = build_document()["components"]
    headers = {each["name"] for name, each in shown["parameters"].items() if name.startswith("option-")}
    assert headers == {f"x-sizewise-{name}" for name in SizewiseOptions.__struct_encode_fields__}
    assert set(shown["schemas"]["SizewiseOptions"]["properties"]) == set(SizewiseOptions.__struct_fields__)
    asking = [each for each in operations().values() if "inference" in each["tags"]]
    assert len(asking) == 16 and all(len(each["parameters"]) == len(shown["parameters"]) for each in asking)


def test_headers_that_a_request_may_have_and_that_browsers_may_read_are_in_the_document(echo: Served) -> None:
    shown = build_document()["components"]
    understood = {each["name"] for each in shown["parameters"].values()}
    assert {"traceparent", "x-sizewise-trace", "idempotency-key", "cache-control", "x-sizewise-release"} <= understood
    readable = {name.strip() for name in EXPOSED.decode().lower().split(",")}
    assert readable - {"request-id", "date"} <= set(shown["headers"])
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "hi"}]}
    sent = {name.lower() for name in echo.ask("/v1/chat/completions", body).headers}
    assert {name for name in sent if name.startswith(("x-sizewise-", "x-request"))} <= set(shown["headers"])


def test_whatever_is_pointed_to_is_there_and_no_schema_is_left_over() -> None:
    shown = build_document()
    named = set(re.findall(r"'#/components/(\w+)/([\w-]+)'", str(shown)))
    there = {(kind, name) for kind, items in shown["components"].items() for name in items}
    assert named == {each for each in there if each[0] != "securitySchemes"}


def test_no_answer_is_called_like_what_bodies_are_made_of() -> None:
    described = build_document()["components"]["schemas"]
    assert {kind.__name__ for kind in BODY_TYPES} <= set(described)
    assert set(described["GraphQLRequest"]["properties"]) == set(OperationRequest.__struct_encode_fields__)
    assert "content" in described["Message"]["properties"] and "role" in described["Message"]["required"]


def test_the_document_is_served_without_a_key_and_is_the_same_each_time(echo: Served) -> None:
    first, second = echo.ask("/openapi.json", key=None), echo.ask("/openapi.json", key=None)
    assert first.status == 200 and first.headers["content-type"] == "application/json"
    assert first.body == second.body and first.json == build_document()
