"""`sizewise savings`: asked of a running server, as a table, as JSON and as a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving

PRICED = (
    ECHO
    + """
[policies.quick]
kind = "cheapest"
[models."echo/small"]
parameters = 1_000_000_000
price = {input = "0.1", output = "0.1"}
[models."echo/large"]
parameters = 70_000_000_000
price = {input = "1", output = "1"}
"""
)


@pytest.mark.long
def test_what_was_saved_is_told_and_drawn(tmp_path: Path) -> None:
    with serving(tmp_path, PRICED) as server:
        assert "has answered a request yet" in sizewise("savings", home=tmp_path).out
        for _ in range(4):
            assert server.chat("auto:quick", "one two three").status == 200
        server.chat("echo/large", "by its name: no policy chose")
        told = sizewise("savings", "--json", home=tmp_path).json
        (quick,) = told
        assert (quick["policy"], quick["large"], quick["requests"], quick["small"]) == ("quick", "echo/large", 4, 4)
        assert float(quick["savedUsd"]) == 9 * float(quick["spentUsd"]) and float(quick["marginUsd"]) == 0.0
        shown = sizewise("savings", home=tmp_path).out
        assert "90.0% +- 0.0%" in shown and "not measured" in shown
        picture = tmp_path / "plane.svg"
        assert sizewise("savings", "--svg", str(picture), home=tmp_path).code == 0
        assert "quick (quality not measured)" in picture.read_text()
        none = sizewise("savings", "--policy", "other", "--svg", str(picture), home=tmp_path)
        assert none.code == 2 and "routing policies: default, quick" in none.err
        assert sizewise("savings", "--days", "nan", home=tmp_path).code == 2
        assert sizewise("savings", "--days", "0", home=tmp_path).code == 2
