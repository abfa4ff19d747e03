"""How the tests find what a wire's vendor says: tests/wires/speaking/<wire>.py, by the name of its entry point."""

from __future__ import annotations

import importlib

from hypothesis import strategies as st

from sizewise.testing.wire_conformance import WireCase


def speaking(wire: str) -> WireCase:
    found: WireCase = importlib.import_module(f"tests.wires.speaking.{wire}").SPOKEN
    return found


def requests(wire: str) -> st.SearchStrategy[bytes]:
    """Bodies that clients of this wire send."""
    found: st.SearchStrategy[bytes] = importlib.import_module(f"tests.wires.speaking.{wire}").REQUESTS
    return found
