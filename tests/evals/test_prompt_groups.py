"""Near copies and declared groups are one piece of evidence: found in other words around; other questions are not."""

from __future__ import annotations

from random import Random

import pytest

from sizewise.evals.evidence_split import split_groups, training_count
from sizewise.evals.prompt_groups import group_prompts, seed_of

CHANCE = Random(0)
OTHERS = [
    f"When did the {' '.join(''.join(CHANCE.choices('abdegiklmnoprstu', k=7)) for _ in range(4))} of the first?"
    for _ in range(60)
]
ASKED = "When did the observatory in Uppsala buy its first refracting telescope?"
COPIES = (
    "when did the observatory in uppsala buy its first refracting telescope",
    "Please tell me: when did the observatory in Uppsala buy its first refracting telescope?",
    "Its first refracting telescope: when did the observatory in Uppsala buy it?",
    "When did the Uppsala observatory buy its first refracting telescope? Thank you, please answer.",
    "When did teh observatory in Uppsala buy its first refracting telescope?",
)


@pytest.mark.parametrize("copy", COPIES)
def test_a_near_copy_is_in_the_group_of_its_question(copy: str) -> None:
    groups = group_prompts([ASKED, *OTHERS, copy])
    assert groups[0] == groups[-1] and len(set(groups)) == 1 + len(OTHERS)


@pytest.mark.parametrize(
    "other",
    ["When did the observatory in Greenwich open?", "Who was Uppsala's first bishop?", "", "?!", "12", "12 13"],
)
def test_another_question_is_in_a_group_of_its_own(other: str) -> None:
    assert len(set(group_prompts([ASKED, *OTHERS, other]))) == 2 + len(OTHERS)


def test_a_common_instruction_and_other_numbers_make_no_copies() -> None:
    told = [f"Answer with one letter and give no reason. Question {n}: what is {n * 7} + {n * 31}?" for n in range(50)]
    assert len(set(group_prompts(told))) == 50


def test_prompts_with_a_declared_name_in_common_are_one_group_and_groups_join() -> None:
    names = [("session 1",), ("session 1", "group 9"), (), ("group 9",), ("session 2",)]
    assert group_prompts(["a b", "c d", "e f", "g h", "i k"], names) == [0, 0, 1, 0, 2]


def test_a_group_lies_in_one_part_and_the_order_of_the_rows_changes_nothing() -> None:
    chance = Random(1)
    texts = [f"text {n}" for n in range(600)]
    group_of = {text: chance.randrange(200) for text in texts}

    def split(rows: list[str]) -> tuple[list[str], list[str]]:
        training, certifying = split_groups(rows, [group_of[text] for text in rows])
        return [rows[each] for each in training], [rows[each] for each in certifying]

    training, certifying = split(texts)
    assert {group_of[text] for text in training}.isdisjoint(group_of[text] for text in certifying)
    assert sorted(training + certifying) == sorted(texts)
    assert len({group_of[text] for text in training}) == training_count(len(set(group_of.values())))
    mixed = chance.sample(texts, len(texts))
    assert split(mixed) == (training, certifying) and seed_of(mixed) == seed_of(texts) != seed_of(texts[1:])


def test_large_groups_are_as_likely_to_train_as_small_ones() -> None:
    sizes = (("one", 1), ("many", 9))
    texts = [f"{kind} {n} {form}" for kind, forms in sizes for n in range(1_000) for form in range(forms)]
    numbers = {text.rpartition(" ")[0]: 0 for text in texts}
    names = {name: at for at, name in enumerate(numbers)}
    training, _ = split_groups(texts, [names[text.rpartition(" ")[0]] for text in texts])
    large = len({texts[row].rpartition(" ")[0] for row in training if texts[row].startswith("many")})
    share = large / training_count(len(names))
    assert 0.45 < share < 0.55
