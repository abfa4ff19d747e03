"""What fits a machine: the largest number of slots that the room holds, whole or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.memory_fit import PROPOSED_QUANTIZATIONS, MemoryPool, fit_model, fit_quantizations, memory_pools
from sizewise.advisor.workload import parse_workload
from tests.advisor.conftest import TODAY
from tests.advisor.sample_models import open_model, sold_model

MODEL = open_model("toy", 3, 0.6)


@given(
    st.integers(0, 20_000_000_000),
    st.sampled_from(PROPOSED_QUANTIZATIONS),
    st.integers(256, 32_768),
    st.integers(1, 20),
)
def test_one_slot_more_would_not_fit(room: int, quantisation: str, context: int, most: int) -> None:
    found = fit_model(MODEL, quantisation, context, MemoryPool("memory", room, 0), most)
    assert found is not None
    sizes = [MODEL.estimate_memory(quantisation, context, slots) for slots in range(1, most + 1)]
    assert found.slots == sum(need is not None and need.total <= room for need in sizes)


def test_weights_and_cache_are_those_of_the_catalogue() -> None:
    found = fit_model(MODEL, "Q8_0", 4096, MemoryPool("gpu", 24_000_000_000, 0), 1)
    assert found is not None
    assert found.memory.weights == MODEL.weights_bytes("Q8_0")
    assert found.memory.kv_cache == MODEL.kv_cache_bytes(4096) == 2 * 4 * 128 * 32 * 4096 * 2


def test_a_model_without_a_shape_has_no_answer() -> None:
    assert fit_model(sold_model("secret", 0.9), "Q8_0", 4096, MemoryPool("memory", 10**12, 0), 1) is None


def test_what_is_free_is_taken_whole_and_what_there_is_in_part() -> None:
    here = parse_workload({}, today=TODAY, free_memory=8_000_000_000)
    there = parse_workload({"memory-gb": "8", "gpu-gb": "10"}, today=TODAY, free_memory=None)
    assert [room.available for room in memory_pools(here, parse_assumptions())] == [8_000_000_000]
    assert [room.available for room in memory_pools(there, parse_assumptions())] == [6_000_000_000, 9_500_000_000]
    assert next(room.available for room in memory_pools(there, parse_assumptions(("reserve=0",)))) == 8_000_000_000


def test_the_table_shows_what_does_not_fit_too() -> None:
    work = parse_workload({"memory-gb": "4"}, today=TODAY, free_memory=None)
    (room,) = memory_pools(work, parse_assumptions())
    assert [
        (row.quantization, row.slots > 0) for row in fit_quantizations(MODEL, room, work.context, parse_assumptions())
    ] == [
        ("F16", False),
        ("Q8_0", False),
        ("Q6_K", True),
        ("Q4_K_M", True),
    ]
