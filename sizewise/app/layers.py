"""Layers: wraps a handler in a list of layers, the innermost of which comes first; knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sizewise.handler import Handler


def with_layers(handler: Handler, layers: Iterable[Callable[[Handler], Handler]]) -> Handler:
    for layer in layers:
        handler = layer(handler)
    return handler
