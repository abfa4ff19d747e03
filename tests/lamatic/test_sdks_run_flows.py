"""Lamatic's own packages run imported flows of every type of node to an end, with the outputs that each declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.lamatic.sdks import SDKS, measure, table
from tests.lamatic import sample_files

pytestmark = [pytest.mark.node, pytest.mark.apart]


def test_what_passes_the_check_runs_by_both_packages(tmp_path: Path) -> None:
    for name, flow in sample_files.FLOWS.items():
        kit = tmp_path / "given" / "kits" / re.sub(r"\W+", "-", name).strip("-")
        for path, text in sample_files.agentkit(flow()).items():
            (kit / path).parent.mkdir(parents=True, exist_ok=True)
            (kit / path).write_text(text)
    results = measure(tmp_path / "given", tmp_path)
    passed = [each for each in results if each.passed]
    assert len(passed) >= 40, [(each.flow, each.mistakes) for each in results if not each.passed]
    not_ended = {each.flow for each in passed for sdk in SDKS if not each.ended.get(sdk)}
    assert not_ended == {"mcpnode"}, table(results)  # no server has its tool, of which the check warns
    incomplete = {each.flow: set(each.reasons.values()) for each in passed if not each.whole}
    assert incomplete.pop("jsonagent") == {"without result"}  # a property that its schema does not require
    assert incomplete.keys() == not_ended, table(results)
