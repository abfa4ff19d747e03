"""All routes of the HTTP port as an ASGI application; knows which route handler a path leads to and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.app.application import Application
from sizewise.app.services import Services
from sizewise.errors import BadRequest, BodyTooSlow, PathNotFound, SizewiseError, did_you_mean
from sizewise.gateway import (
    anthropic,
    attached_files,
    audio,
    batches,
    completions,
    decisions,
    edges,
    eval_runs,
    evals,
    file_upload,
    files,
    git_push,
    health,
    images,
    inbound_webhooks,
    mcp_server,
    model_list,
    moderations,
    openai,
    openapi,
    rerank,
    responses,
    scores,
    signin_page,
    studio,
    systemone,
    vector_stores,
    widget,
)
from sizewise.gateway import response_routes as stored
from sizewise.gateway.asgi_writer import AsgiResponseWriter
from sizewise.gateway.error_response import OPENAI_ERRORS, ErrorFormat, send_error
from sizewise.gateway.media_form import media_limit
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import RequestHead, RouteHandler, declared_length, read_head
from sizewise.gateway.request_refusal import body_compressed, refusal, refuse_with, upload_refusal
from sizewise.gateway.response_writer import Headers, ResponseWriter, trace_headers
from sizewise.gateway.second_factor import SecondFactorEndpoints
from sizewise.gateway.signin import SignInEndpoints
from sizewise.gateway.signin_link import LinkEndpoints
from sizewise.gateway.signin_oidc import OidcEndpoints
from sizewise.gateway.signin_oidc_logout import OidcLogoutEndpoints
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.limits.request_body import BodyReader
from sizewise.limits.upload import Upload, UploadLimit

ApplicationProvider = Callable[[], Application]
"""Returns the current application: settings may change between two requests, never within one."""


UploadHandler = Callable[[str, Application, RequestHead, Upload, ResponseWriter], Awaitable[None]]
"""A route handler that reads the body itself; the first argument is the path of the upstream's endpoint."""

WrapHandler = Callable[[str, RouteHandler], RouteHandler]
"""Of a route: its path, and its handler."""

ASK_ACTION = ("ask",)
ROUTE_ACTIONS: Mapping[str, tuple[str, ...] | None] = {
    "/v1/chat/completions": ASK_ACTION,
    "/v1/responses": ASK_ACTION,
    "/v1/responses/input_tokens": ASK_ACTION,
    "/v1/responses/{body}": ASK_ACTION,
    "/v1/responses/{body}/cancel": ASK_ACTION,
    "/v1/responses/{body}/input_items": ASK_ACTION,
    "/v1/completions": ASK_ACTION,
    "/v1/moderations": ASK_ACTION,
    "/v1/embeddings": ASK_ACTION,
    "/v1/audio/speech": ASK_ACTION,
    "/v1/audio/transcriptions": ASK_ACTION,
    "/v1/audio/translations": ASK_ACTION,
    "/v1/images/generations": ASK_ACTION,
    "/v1/images/edits": ASK_ACTION,
    "/v1/images/variations": ASK_ACTION,
    "/v1/decisions": ASK_ACTION,
    "/v1/systemone": ASK_ACTION,
    "/v1/scores": ASK_ACTION,
    "/v1/rerank": ASK_ACTION,
    "/v2/rerank": ASK_ACTION,
    "/v1/files": ASK_ACTION,
    "/v1/files/{body}": ASK_ACTION,
    "/v1/files/{body}/content": ASK_ACTION,
    "/v1/vector_stores": ASK_ACTION,
    "/v1/vector_stores/{body}": ASK_ACTION,
    "/v1/vector_stores/{body}/search": ASK_ACTION,
    "/v1/vector_stores/{body}/files": ASK_ACTION,
    "/v1/vector_stores/{body}/files/{file}": ASK_ACTION,
    "/v1/vector_stores/{body}/files/{file}/content": ASK_ACTION,
    "/v1/vector_stores/{body}/file_batches": ASK_ACTION,
    "/v1/vector_stores/{body}/file_batches/{batch}": ASK_ACTION,
    "/v1/vector_stores/{body}/file_batches/{batch}/cancel": ASK_ACTION,
    "/v1/vector_stores/{body}/file_batches/{batch}/files": ASK_ACTION,
    "/v1/batches": ASK_ACTION,
    "/v1/batches/{body}": ASK_ACTION,
    "/v1/batches/{body}/cancel": ASK_ACTION,
    "/v1/evals": ASK_ACTION,
    "/v1/evals/{body}": ASK_ACTION,
    "/v1/evals/{body}/runs": ASK_ACTION,
    "/v1/evals/{body}/runs/{run}": ASK_ACTION,
    "/v1/evals/{body}/runs/{run}/cancel": ASK_ACTION,
    "/v1/evals/{body}/runs/{run}/output_items": ASK_ACTION,
    "/v1/evals/{body}/runs/{run}/output_items/{item}": ASK_ACTION,
    "/v1/messages": ASK_ACTION,
    "/v1/messages/count_tokens": ASK_ACTION,
    "/v1/models": (),
    "/v1/models/{body:path}": (),
    "/edge/records": ("serve_edge",),
    "/edge/join": ("serve_edge",),
    "/edge/release": ("serve_edge",),
    "/edge/releases/{body}": ("serve_edge",),
    "/hooks/flows/{body}": ASK_ACTION,
    "/hooks/git": None,
    "/graphql": (),
    "/mcp": ASK_ACTION,
    "/graphql/{body}": None,
    "/auth/sign-in": None,
    "/auth/sign-out": None,
    "/auth/invitation": None,
    "/auth/link": ("create_organizations",),
    "/auth/link/redeem": None,
    "/auth/session": (),
    "/auth/password": (),
    "/auth/second-factor": (),
    "/auth/second-factor/confirm": (),
    "/auth/second-factor/recovery-codes": (),
    "/auth/second-factor/remove": (),
    "/auth/oidc/{body}": None,
    "/auth/oidc/{body}/callback": None,
    "/auth/oidc/{body}/backchannel-logout": None,
    "/sign-in": None,
    "/invitation": None,
    "/healthz": None,
    "/readyz": None,
    "/metrics": ("read_metrics",),
    "/openapi.json": None,
    **dict.fromkeys((widget.PATH, widget.MESSAGES, studio.FILES, *studio.PAGES)),
}
"""Path -> actions, any of which gives access; empty: any key or session; None: no authentication. The route handlers
check this themselves; tests/auth/test_authorization_matrix.py compares each of them with this table.
"""

MANAGE = (MANAGE_ACTION,)
METHOD_ACTIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/v1/vector_stores"): MANAGE,
    ("POST", "/v1/vector_stores/{body}"): MANAGE,
    ("DELETE", "/v1/vector_stores/{body}"): MANAGE,
    ("POST", "/v1/vector_stores/{body}/files"): MANAGE,
    ("POST", "/v1/vector_stores/{body}/files/{file}"): MANAGE,
    ("DELETE", "/v1/vector_stores/{body}/files/{file}"): MANAGE,
    ("POST", "/v1/vector_stores/{body}/file_batches"): MANAGE,
    ("POST", "/v1/vector_stores/{body}/file_batches/{batch}/cancel"): MANAGE,
}
"""The same for methods that need other actions than their path."""


def unchanged(path: str, handler: RouteHandler) -> RouteHandler:
    return handler


def build_asgi_app(
    get_app: ApplicationProvider, graphql: ASGIApp, services: Services, wrap: WrapHandler = unchanged
) -> Starlette:
    """`services` stay the same when a reload replaces the application. `wrap` is applied to the route handlers that
    read no stream.
    """
    signing_in = SignInEndpoints(
        services.users, services.sessions, services.api_keys.authenticator, services.second_factors
    )
    factors = SecondFactorEndpoints(services.second_factors, services.users, signing_in)
    links = LinkEndpoints(services.sign_in_links, services.users, signing_in)
    studio_files, embedded = studio.StudioFiles(), widget.WidgetEndpoints()
    oidc = OidcEndpoints(services.users, services.sessions)
    oidc_logout = OidcLogoutEndpoints(services.users, services.oidc_logout)
    webhook_handler = partial(inbound_webhooks.webhook_handler, services.webhook_triggers)

    def at(path: str, handler: RouteHandler, method: str = "POST", voice: ErrorFormat = OPENAI_ERRORS) -> Route:
        authenticated = ROUTE_ACTIONS[path] is not None
        wrapped = wrap(path, handler)
        return Route(path, RouteEndpoint(get_app, wrapped, method, voice, authenticated=authenticated))

    def upload(path: str, handler: UploadHandler) -> Route:
        return Route(path, UploadEndpoint(get_app, partial(handler, path.removeprefix("/v1")), media_limit))

    file_post = UploadEndpoint(get_app, file_upload.create_file, file_upload.file_limit)
    routes: list[BaseRoute] = [
        at("/v1/chat/completions", openai.chat_completions),
        at("/v1/responses", responses.create, voice=responses.ERROR_FORMAT),
        at("/v1/responses/input_tokens", responses.count_input_tokens),
        Route("/v1/responses/{body}", MethodRouter(get_app, GET=stored.retrieve, DELETE=stored.delete)),
        Route("/v1/responses/{body}/cancel", PathParamEndpoint(get_app, stored.cancel)),
        at("/v1/responses/{body}/input_items", stored.input_items, "GET"),
        at("/v1/completions", completions.completions),
        at("/v1/moderations", moderations.moderations),
        at("/v1/embeddings", openai.embeddings),
        at("/v1/audio/speech", audio.speech),
        upload("/v1/audio/transcriptions", audio.transcribe),
        upload("/v1/audio/translations", audio.transcribe),
        at("/v1/images/generations", images.generations),
        upload("/v1/images/edits", images.change),
        upload("/v1/images/variations", images.change),
        at("/v1/decisions", decisions.decisions),
        at("/v1/systemone", systemone.systemone),
        at("/v1/scores", scores.create),
        at("/v1/rerank", rerank.rerank),
        at("/v2/rerank", rerank.rerank),
        Route("/v1/files", MethodRouter(get_app, file_post, GET=files.list_files)),
        Route("/v1/files/{body}", MethodRouter(get_app, GET=files.get_file, DELETE=files.delete_file)),
        at("/v1/files/{body}/content", files.file_content, "GET"),
        *vector_store_routes(get_app),
        *batch_routes(get_app),
        *eval_routes(get_app),
        at("/v1/messages", anthropic.messages, voice=anthropic.ERROR_FORMAT),
        at("/v1/messages/count_tokens", anthropic.count_tokens, voice=anthropic.ERROR_FORMAT),
        at("/v1/models", model_list.list_models, "GET"),
        at("/v1/models/{body:path}", model_list.get_model, "GET"),
        at("/edge/records", edges.take_records),
        at("/edge/join", edges.join),
        at("/edge/release", edges.offer_release, "GET"),
        at("/edge/releases/{body}", edges.send_release, "GET"),
        Route("/hooks/flows/{body}", PathParamEndpoint(get_app, webhook_handler)),
        at("/hooks/git", git_push.handle_push),
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
        Route("/graphql/{body}", graphql),
        at("/mcp", mcp_server.handle_messages, voice=mcp_server.ERROR_FORMAT),
        at("/auth/sign-in", signing_in.sign_in),
        at("/auth/sign-out", signing_in.sign_out),
        at("/auth/invitation", signing_in.accept_invitation),
        at("/auth/link", links.create),
        at("/auth/link/redeem", links.redeem),
        at("/auth/password", signing_in.change_password),
        Route("/auth/second-factor", MethodRouter(get_app, GET=factors.show, POST=factors.begin)),
        at("/auth/second-factor/confirm", factors.confirm),
        at("/auth/second-factor/recovery-codes", factors.new_recovery_codes),
        at("/auth/second-factor/remove", factors.remove),
        Route("/auth/session", MethodRouter(get_app, GET=signing_in.get_session, POST=signing_in.switch_project)),
        at("/auth/oidc/{body}", oidc.start_sign_in, "GET"),
        at("/auth/oidc/{body}/callback", oidc.complete_sign_in, "GET"),
        Route("/auth/oidc/{body}/backchannel-logout", PathParamEndpoint(get_app, oidc_logout.handler)),
        at("/sign-in", signin_page.sign_in_page, "GET"),
        at("/invitation", signin_page.invitation_page, "GET"),
        at("/healthz", health.healthz, "GET"),
        at("/readyz", health.readyz, "GET"),
        at("/metrics", health.metrics, "GET"),
        at("/openapi.json", openapi.OpenApiEndpoint(), "GET"),
        at(widget.PATH, embedded.public, "GET"),
        Route(widget.MESSAGES, PathIdsRouter(get_app, {"POST": embedded.messages}, authenticated=False)),
        at(studio.FILES, studio_files.file, "GET"),
        *(at(path, studio_files.page, "GET") for path in studio.PAGES),
    ]
    paths = [route.path for route in routes if isinstance(route, Route) and not route.path.startswith("/auth/")]
    lost = [
        Mount(base, RouteEndpoint(get_app, unknown_path_handler(paths), error_format=voice))
        for base, voice in (("/v1/messages", anthropic.ERROR_FORMAT), ("/", OPENAI_ERRORS))
    ]
    return Starlette(routes=[*routes, *lost])


def vector_store_routes(get_app: ApplicationProvider) -> list[BaseRoute]:
    at, stores, files = "/v1/vector_stores", vector_stores, attached_files
    found = {
        at: {"GET": stores.list_stores, "POST": stores.create},
        f"{at}/{{body}}": {"GET": stores.get, "POST": stores.modify, "DELETE": stores.delete},
        f"{at}/{{body}}/search": {"POST": stores.search},
        f"{at}/{{body}}/files": {"GET": files.list_files, "POST": files.attach},
        f"{at}/{{body}}/files/{{file}}": {"GET": files.get, "POST": files.set_attributes, "DELETE": files.detach},
        f"{at}/{{body}}/files/{{file}}/content": {"GET": files.content},
        f"{at}/{{body}}/file_batches": {"POST": files.create_batch},
        f"{at}/{{body}}/file_batches/{{batch}}": {"GET": files.get_batch},
        f"{at}/{{body}}/file_batches/{{batch}}/cancel": {"POST": files.cancel_batch},
        f"{at}/{{body}}/file_batches/{{batch}}/files": {"GET": files.list_batch_files},
    }
    return [Route(path, PathIdsRouter(get_app, methods)) for path, methods in found.items()]


def batch_routes(get_app: ApplicationProvider) -> list[BaseRoute]:
    at = "/v1/batches"
    found = {
        at: {"GET": batches.list_batches, "POST": batches.create},
        f"{at}/{{body}}": {"GET": batches.get},
        f"{at}/{{body}}/cancel": {"POST": batches.cancel},
    }
    return [Route(path, PathIdsRouter(get_app, methods)) for path, methods in found.items()]


def eval_routes(get_app: ApplicationProvider) -> list[BaseRoute]:
    at, runs = "/v1/evals", "/v1/evals/{body}/runs"
    found = {
        at: {"GET": evals.list_evals, "POST": evals.create},
        f"{at}/{{body}}": {"GET": evals.get, "POST": evals.modify, "DELETE": evals.delete},
        runs: {"GET": eval_runs.list_runs, "POST": eval_runs.create},
        f"{runs}/{{run}}": {"GET": eval_runs.get, "POST": eval_runs.cancel, "DELETE": eval_runs.delete},
        f"{runs}/{{run}}/cancel": {"POST": eval_runs.cancel},
        f"{runs}/{{run}}/output_items": {"GET": eval_runs.list_items},
        f"{runs}/{{run}}/output_items/{{item}}": {"GET": eval_runs.get_item},
    }
    return [Route(path, PathIdsRouter(get_app, methods)) for path, methods in found.items()]


def unknown_path_handler(paths: list[str]) -> RouteHandler:
    async def handler(app: Application, seen: RequestHead, body: bytes, out: ResponseWriter) -> None:
        path = body.decode("utf-8", "replace")[:200]
        raise PathNotFound(f"there is nothing at {path!r}", did_you_mean(path, paths) or f"try {', '.join(paths[:3])}")

    return handler


def method_not_allowed_handler(methods: Sequence[str], error_format: ErrorFormat) -> RouteHandler:
    async def handler(app: Application, seen: RequestHead, body: bytes, out: ResponseWriter) -> None:
        path = body.decode("utf-8", "replace")[:200]
        error = BadRequest(
            f"{path!r} accepts only {' and '.join(methods)}", f"send a {' or '.join(methods)} request", status=405
        )
        app.resources.metrics.count_rejection(error.code)
        await send_error(
            out,
            error,
            [(b"allow", ", ".join(methods).encode()), *trace_headers(seen.trace)],
            error_format,
            seen.trace,
        )

    return handler


class RouteEndpoint:
    """A route handler as an ASGI app: reads the body within limits, and cancels the handler when the client leaves."""

    def __init__(
        self,
        get_app: ApplicationProvider,
        route_handler: RouteHandler,
        method: str = "",
        error_format: ErrorFormat = OPENAI_ERRORS,
        *,
        authenticated: bool = False,
        allowed: Sequence[str] = (),
    ) -> None:
        """`method`: the only one served (GET also serves HEAD); empty: any. `allowed`: all methods of the path, if
        other routes serve more. `error_format`: of its errors.
        `authenticated`: refuses a caller without a valid key before it reads the body.
        """
        self._get_app = get_app
        self._route_handler = route_handler
        self._method = method
        self._allowed = allowed or (method,)
        self._error_format = error_format
        self._authenticated = authenticated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close"})  # before it is accepted: a 403
        app = self._get_app()
        with BodyReader(app.resources.body_memory, app.settings.server) as reader:
            await self._answer(app, scope, receive, send, reader)

    async def _answer(self, app: Application, scope: Scope, receive: Receive, send: Send, reader: BodyReader) -> None:
        started = time.perf_counter()
        client = scope.get("client")
        headers: Headers = scope["headers"]
        method = scope["method"]
        head = read_head(headers, started)
        out = AsgiResponseWriter(send, head.trace)
        head.peer_address, head.query_string = client[0] if client else "", scope.get("query_string", b"")
        head.safe, head.secure = method in ("GET", "HEAD"), scope.get("scheme") == "https"
        reads_body = method not in ("GET", "HEAD", "DELETE") and self._method != ""
        handler, body = self._route_handler, scope.get("path_params", {}).get("body", scope["path"]).encode()
        if self._method and method != self._method and (method, self._method) != ("HEAD", "GET"):
            handler, body = method_not_allowed_handler(self._allowed, self._error_format), scope["path"].encode()
        elif (refused := refusal(app, head, authenticated=self._authenticated and reads_body)) is not None:
            handler, out.close_connection = refused, any(name == b"expect" for name, _ in headers)
        elif reads_body:
            try:
                read = await reader.read(receive)
            except SizewiseError as error:
                handler, read, out.close_connection = refuse_with(error), b"", isinstance(error, BodyTooSlow)
            if read is None:
                return None
            body = read
        met = handle(handler, app, head, body, out, self._error_format)
        await _run_until_disconnect(met, receive)


class UploadEndpoint(RouteEndpoint):
    """A route handler of POST that reads the body itself, as it arrives; cancelled when the client leaves."""

    def __init__(
        self,
        get_app: ApplicationProvider,
        upload_handler: Callable[[Application, RequestHead, Upload, ResponseWriter], Awaitable[None]],
        limit_of: Callable[[Application], UploadLimit],
    ) -> None:
        super().__init__(get_app, body_compressed, "POST", authenticated=True)  # a POST never gets to this handler
        self._upload_handler = upload_handler
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._get_app()
        if scope["type"] == "websocket" or scope["method"] != "POST":
            return await super().__call__(scope, receive, send)
        head = read_head(scope["headers"], time.perf_counter())
        client = scope.get("client")
        head.peer_address, head.query_string = client[0] if client else "", scope.get("query_string", b"")
        head.secure = scope.get("scheme") == "https"
        out, limit = AsgiResponseWriter(send, head.trace), self._limit_of(app)
        memory, length = app.resources.body_memory, declared_length(head.headers)
        with Upload(receive, memory, app.settings.server, size=limit, declared_bytes=length) as upload:
            refused = upload_refusal(app, head, limit)
            handler = partial(self._handle, upload, out, refused)
            await _run_until_disconnect(handle(handler, app, head, b"", out), upload.after_body)

    async def _handle(
        self,
        upload: Upload,
        connection: AsgiResponseWriter,
        refused: RouteHandler | None,
        app: Application,
        head: RequestHead,
        body: bytes,
        out: ResponseWriter,
    ) -> None:
        try:
            if refused is not None:
                await refused(app, head, body, out)
            else:
                await self._upload_handler(app, head, upload, out)
        except SizewiseError as error:
            # Whoever waits for `100 Continue` may send its next request at once, or the body after all.
            waits = any(name == b"expect" for name, _ in head.headers) and not upload.is_complete
            connection.close_connection = waits or isinstance(error, BodyTooSlow)
            raise


class MethodRouter:
    """One path with a route handler per method; another method gets a 405 that names them."""

    def __init__(
        self, get_app: ApplicationProvider, post: ASGIApp | None = None, **route_handlers: RouteHandler
    ) -> None:
        """`post`: an app that reads the body of a POST itself."""
        allowed = (*route_handlers, *(("POST",) if post is not None else ()))
        self._endpoints: dict[str, ASGIApp] = {
            method: RouteEndpoint(get_app, handler, method, allowed=allowed)
            for method, handler in route_handlers.items()
        }
        if post is not None:
            self._endpoints["POST"] = post

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoints.get(scope["method"], self._endpoints["GET"])(scope, receive, send)


PathIdsHandler = Callable[[Mapping[str, str], Application, RequestHead, bytes, ResponseWriter], Awaitable[None]]
"""A route handler that also gets the ids in its path."""


class PathIdsRouter(MethodRouter):
    """One path with ids, and a handler per method; another method gets a 405 that names them."""

    def __init__(
        self, get_app: ApplicationProvider, handlers: Mapping[str, PathIdsHandler], *, authenticated: bool = True
    ) -> None:
        """`authenticated`: refuses a caller without a valid key before it reads the body."""
        super().__init__(get_app, **{method: partial(handler, {}) for method, handler in handlers.items()})
        self._authenticated = authenticated
        self._get_app = get_app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in self._handlers else next(iter(self._handlers))
        handler = partial(self._handlers[method], scope["path_params"])
        endpoint = RouteEndpoint(
            self._get_app, handler, method, authenticated=self._authenticated, allowed=tuple(self._handlers)
        )
        await endpoint(scope, receive, send)


class PathParamEndpoint(RouteEndpoint):
    """A POST route whose handler is made from the `{body}` of the path."""

    def __init__(self, get_app: ApplicationProvider, handler_of: Callable[[str], RouteHandler]) -> None:
        super().__init__(get_app, handler_of(""), "POST")
        self._handler_of = handler_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await RouteEndpoint(self._get_app, self._handler_of(scope["path_params"]["body"]), "POST")(scope, receive, send)


async def _run_until_disconnect(work: Awaitable[None], receive: Receive) -> None:
    """Runs `work`; cancels it, and with it the model call, if the client leaves first."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    except asyncio.CancelledError:
        pass  # shutdown did not wait for us; uvicorn would log the cancellation as an error with a traceback
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.gather(leaving, task, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
