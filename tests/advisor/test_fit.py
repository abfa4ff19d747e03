"""What fits a machine: the largest number of slots that the room holds, whole or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sizewise.advisor.assumptions import assumed
from sizewise.advisor.memory_fit import QUANTISATIONS, Room, fit, rooms, table
from sizewise.advisor.workload import workload
from tests.advisor.conftest import TODAY
from tests.advisor.sample_models import open_model, sold_model

MODEL = open_model("toy", 3, 0.6)


@given(st.integers(0, 20_000_000_000), st.sampled_from(QUANTISATIONS), st.integers(256, 32_768), st.integers(1, 20))
def test_one_slot_more_would_not_fit(room: int, quantisation: str, context: int, most: int) -> None:
    found = fit(MODEL, quantisation, context, Room("memory", room, 0), most)
    assert found is not None
    sizes = [MODEL.memory(quantisation, context, slots) for slots in range(1, most + 1)]
    assert found.slots == sum(need is not None and need.total <= room for need in sizes)


def test_weights_and_cache_are_those_of_the_catalogue() -> None:
    found = fit(MODEL, "Q8_0", 4096, Room("gpu", 24_000_000_000, 0), 1)
    assert found is not None
    assert found.need.weights == MODEL.weights("Q8_0")
    assert found.need.cache == MODEL.cache(4096) == 2 * 4 * 128 * 32 * 4096 * 2


def test_a_model_without_a_shape_has_no_answer() -> None:
    assert fit(sold_model("secret", 0.9), "Q8_0", 4096, Room("memory", 10**12, 0), 1) is None


def test_what_is_free_is_taken_whole_and_what_there_is_in_part() -> None:
    here = workload({}, today=TODAY, free=8_000_000_000)
    there = workload({"memory-gb": "8", "gpu-gb": "10"}, today=TODAY, free=None)
    assert [room.bytes for room in rooms(here, assumed())] == [8_000_000_000]
    assert [room.bytes for room in rooms(there, assumed())] == [6_000_000_000, 9_500_000_000]
    assert next(room.bytes for room in rooms(there, assumed(("reserve=0",)))) == 8_000_000_000


def test_the_table_shows_what_does_not_fit_too() -> None:
    work = workload({"memory-gb": "4"}, today=TODAY, free=None)
    (room,) = rooms(work, assumed())
    assert [(row.quantisation, row.slots > 0) for row in table(MODEL, room, work.context, assumed())] == [
        ("F16", False),
        ("Q8_0", False),
        ("Q6_K", True),
        ("Q4_K_M", True),
    ]
