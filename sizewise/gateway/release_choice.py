"""Release choice: which release answers a request, and says so in its headers; a canary's failures go to stable."""

from __future__ import annotations

from functools import partial

from sizewise.app.application import Application
from sizewise.app.environments import NO_UNIT, Environments
from sizewise.errors import SizewiseError
from sizewise.gateway.canary_answer import answer_twice
from sizewise.gateway.request_head import RequestHead, RouteHandler
from sizewise.gateway.request_unit import unit_of
from sizewise.gateway.response_writer import Headers, ResponseWriter
from sizewise.request_origin import ReleaseLabel


class ReleaseHeaders:
    """Wraps a ResponseWriter and adds what answered, unless the process that a request was forwarded to said so."""

    def __init__(self, writer: ResponseWriter, label: ReleaseLabel) -> None:
        self._writer = writer
        self._added: Headers = []
        self.say(label)
        self.write = writer.write
        self.end_stream = writer.end_stream
        self.cut_stream = writer.cut_stream

    def say(self, label: ReleaseLabel) -> None:
        arm = [(b"x-sizewise-arm", label.arm.encode())] if label.arm else []
        self._added = [(RELEASE_HEADER, label.release.encode()), *arm]

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        await self._writer.send_response(status, self._with_release(headers), body, header_lines)

    async def start_stream(self, headers: Headers) -> None:
        await self._writer.start_stream(self._with_release(headers))

    def _with_release(self, headers: Headers) -> Headers:
        said = any(name == RELEASE_HEADER for name, _ in headers)
        return headers if said else [*headers, *self._added]

    @property
    def has_started(self) -> bool:
        return self._writer.has_started


RELEASE_HEADER = b"x-sizewise-release"


async def choose_release(
    environments: Environments[Application], app: Application, head: RequestHead, body: bytes, writer: ResponseWriter
) -> tuple[Application, RequestHead, ResponseWriter]:
    """What answers in the environment of the caller. Raises what `Environments.choose` raises."""
    try:
        principal = head.authenticate(app)
    except SizewiseError:
        return app, head, writer  # the route refuses it, if it needs a caller
    forced = head.options.get("release", "")
    if forced:
        head = head.without_option("release")
    split = environments.has_canary(principal)
    unit = unit_of(head.options, principal, head.trace, body) if split else NO_UNIT
    chosen = await environments.choose(principal, unit, forced)
    label = chosen.label
    return chosen, head, writer if label is None or not label.release else ReleaseHeaders(writer, label)


async def answer_in_split(
    environments: Environments[Application] | None,
    route_handler: RouteHandler,
    app: Application,
    head: RequestHead,
    body: bytes,
    writer: ResponseWriter,
) -> None:
    """Runs a route handler where there is a canary: counted as open, and once more by stable if the canary fails."""
    assert environments is not None
    assert environments.canaries is not None
    assert app.label is not None

    async def by_stable() -> None:
        stable = await environments.stable(head.authenticate(app))
        if stable.label is not None and isinstance(writer, ReleaseHeaders):
            writer.say(stable.label)
        await route_handler(stable, head, body, writer)

    with environments.canaries.open_requests.entered():
        if app.label.arm == "canary":
            await answer_twice(partial(route_handler, app, head, body), by_stable, writer, body)
        else:
            await route_handler(app, head, body, writer)


SPLIT_ARMS = ("stable", "canary")
