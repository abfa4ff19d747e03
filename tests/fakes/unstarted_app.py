"""The ASGI app without a server or services, for tests that only read its routes."""

from __future__ import annotations

from typing import cast

import pytest
from starlette.applications import Starlette

from sizewise.app.services import Services
from sizewise.gateway.routes import build_asgi_app


class _Unused:
    """Every service; nothing is called on it."""

    def __getattr__(self, name: str) -> _Unused:
        return self


def unstarted_app() -> Starlette:
    return build_asgi_app(
        lambda: pytest.fail("reading routes needs no application"),
        lambda *_: pytest.fail(),
        cast(Services, _Unused()),
    )
