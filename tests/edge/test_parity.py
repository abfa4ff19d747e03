"""Parity: the gateway and a Worker in a real workerd answer the same corpus alike, but for reasons that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge.parity import PROOF, compare
from tests.edge.parity_corpus import cases
from tests.edge.parity_reasons import reason

pytestmark = [pytest.mark.node, pytest.mark.long]


def test_every_difference_between_gateway_and_worker_has_a_known_reason(tmp_path: Path) -> None:
    groups, differences = compare(tmp_path)
    assert sum(groups.values()) == len(list(cases())) >= 200
    unexplained = [
        f"{each.case.group}, {each.case.name}: {each.what}: {each.gateway!r} and {each.edge!r}"
        for each in differences
        if not reason(each)
    ]
    assert unexplained == []
    proof = {reason(each) for each in differences if each.what in PROOF}
    assert proof <= {"circuit breakers", "answers that break a schema"}, "what was chosen, masked and said is the same"
