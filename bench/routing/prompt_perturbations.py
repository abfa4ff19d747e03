"""Does a careless copy of a prompt get the same choice? Case, slips, other words and a harness's text; asks no model.

`python -m bench.routing.prompt_perturbations FOLDER[:SMALL:LARGE] ...`. Half of the prompts teach; the other half are
asked as they are, and as another hand would write them. Deterministic: the same folder and seed give the same table.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np
from msgspec.structs import replace

from bench.routing.data import Floats, Task
from bench.routing.domain_transfer import named
from sizewise.errors import SizewiseError
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.text.prompt_features import strip_harness_text
from sizewise.routing.training.trainer import train_predictor

WORTH = 0.1  # of the policy `learned`: the gain above which the large model is asked
SLIPS = 0.02  # of the letters are mistyped

Hand = Callable[[str, Random], str]
"""A prompt in, the same as another hand would write it out."""


def cased(prompt: str, chance: Random) -> str:
    """All capitals, none, A Headline, the wrong way round, or by lot."""
    way = chance.choice((str.upper, str.lower, str.title, str.swapcase, None))
    if way is not None:
        return way(prompt)
    return "".join(each.upper() if chance.random() < 0.5 else each.lower() for each in prompt)


_BESIDE: Mapping[str, str] = {
    key: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, key in enumerate(row)
}


def mistyped(prompt: str, chance: Random) -> str:
    """One letter in fifty is swapped with the next, dropped, doubled, or the key beside it."""
    made, rest = list[str](), iter(range(len(prompt)))
    for at in rest:
        its, after = prompt[at], prompt[at + 1 : at + 2]
        if its.lower() not in _BESIDE or chance.random() >= SLIPS:
            made.append(its)
            continue
        slip = chance.choice(("swap", "drop", "double", "beside"))
        if slip == "swap" and after.isalpha():
            made.append(after + its)
            next(rest)
        elif slip == "double":
            made.append(its + its)
        elif slip != "drop":
            key = chance.choice(_BESIDE[its.lower()])
            made.append(key.upper() if its.isupper() else key)
    return "".join(made)


_CONTRACTED = (
    "what is/what's, who is/who's, where is/where's, how is/how's, it is/it's, that is/that's, there is/there's, "
    "is not/isn't, are not/aren't, was not/wasn't, were not/weren't, do not/don't, does not/doesn't, did not/didn't, "
    "cannot/can't, will not/won't, would not/wouldn't, should not/shouldn't, could not/couldn't, has not/hasn't, "
    "have not/haven't, i am/i'm, you are/you're, they are/they're, we are/we're, i have/i've, let us/let's"
)
_SYNONYMS = (
    "which of the following/which of these, as follows/like this, for example/for instance, such as/like, "
    "in order to/so as to, because/since, however/but, therefore/so, large/big, small/little, begin/start, "
    "buy/purchase, show/demonstrate, find/determine, calculate/compute, correct/right, incorrect/wrong, "
    "statement/claim, usually/typically, about/approximately, often/frequently, given/provided, happens/occurs, "
    "needs/requires, helps/assists, error/mistake, many/numerous, write/compose, explain/describe, choose/select, "
    "must/has to, each/every, whole/entire, quickly/rapidly, important/significant, difficult/hard, easy/simple"
)
_ASKED_NICELY = re.compile(
    r"(?:(?:hi|hello)\b[,!.]? *)?(?:please,? +|(?:can|could|would) you (?:please )?)",
    re.IGNORECASE,
)
_POLITE = (
    "Please: {}",
    "{}\nPlease.",
    "Can you tell me: {}",
    "Could you please help me? {}",
    "Hi! {}",
    "{}\nThanks!",
    "{}",
)


def _exchange(pairs: str, odds: float) -> Hand:
    """Each of the words that has another there, by lot; either way round."""
    other = {one: two for pair in pairs.split(", ") for one, two in (pair.split("/"), pair.split("/")[::-1])}
    found = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, other), key=len, reverse=True))})\b", re.IGNORECASE)

    def hand(prompt: str, chance: Random) -> str:
        def put(its: re.Match[str]) -> str:
            if chance.random() >= odds:
                return its[0]
            said = other[its[0].lower()]
            return said.capitalize() if its[0][0].isupper() else said

        return found.sub(put, prompt)

    return hand


_contracted, _synonyms = _exchange(_CONTRACTED, 0.7), _exchange(_SYNONYMS, 0.5)


def reworded(prompt: str, chance: Random) -> str:
    """Contractions the other way, half of the words that have a synonym here, politeness dropped or put elsewhere."""
    asked = _ASKED_NICELY.sub("", prompt, count=1) if _ASKED_NICELY.match(prompt) else prompt
    return chance.choice(_POLITE).replace("{}", _synonyms(_contracted(asked, chance), chance))


_AROUND = (
    "<system-reminder>\nThe list of tasks is empty. Prove nothing unless asked.\n</system-reminder>\n{}",
    "{}\n<system-reminder>Today is Monday; the integral of the build is broken.</system-reminder>",
    "<context file='notes.md'>\nThe court held that the enzyme converges.\n</context>\n{}",
    "--- BEGIN FILE main.py ---\nfor x in range(10):\n    print(x)\n--- END FILE ---\n{}",
    "<env>cwd: /home/me, git: clean</env>\n{}\n<user_info>speaks English</user_info>",
)


def wrapped(prompt: str, chance: Random) -> str:
    """What a harness puts around a prompt."""
    return chance.choice(_AROUND).replace("{}", prompt)


HANDS: Mapping[str, Hand] = {"case": cased, "slips": mistyped, "other words": reworded, "harness": wrapped}


def gains(predictor: Predictor, prompts: Sequence[str]) -> Floats:
    """P(large good) - P(small good), -1..1; 2 where it abstains, as `learned` then asks the large model by default."""
    learnt = predictor.provenance
    found = [predictor(strip_harness_text(prompt)) for prompt in prompts]
    return np.asarray([2.0 if each is None else each[learnt.large_model] - each[learnt.small_model] for each in found])


def taught(task: Task, seed: int) -> tuple[Predictor, list[str]]:
    """Learnt from half of the prompts, and the other half. Where all of it would abstain, it may not."""
    mine = np.random.default_rng(seed).permutation(len(task.prompts)) % 2 == 0
    scores = {task.small_name: task.small[mine].tolist(), task.large_name: task.large[mine].tolist()}
    teach = [prompt for prompt, own in zip(task.prompts, mine, strict=True) if own]
    predictor = train_predictor(teach, scores, small_model=task.small_name, large_model=task.large_name, seed=seed)
    return replace(predictor, abstention=""), [p for p, own in zip(task.prompts, mine, strict=True) if not own]


def copied(prompts: Sequence[str], hand: Hand, seed: int) -> list[str]:
    return [hand(prompt, Random(seed * 1_000_003 + number)) for number, prompt in enumerate(prompts)]


def row(task: Task, seed: int) -> str:
    predictor, prompts = taught(task, seed)
    before = gains(predictor, prompts)
    half, cells = float(np.median(before)), list[str]()
    for hand in HANDS.values():
        after = gains(predictor, copied(prompts, hand, seed))
        same = [100 * float(((before > bar) == (after > bar)).mean()) for bar in (WORTH, half)]
        cells.append("{:.1f}, {:.1f}".format(*same))
    title = f"{task.name}, {task.small_name.rsplit('/', 1)[-1]}"
    return f"| {title} | {len(prompts):,} | {100 * float((before > WORTH).mean()):.0f} | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tasks",
        nargs="+",
        metavar="FOLDER[:SMALL:LARGE]",
        help="default: its worst and its best model",
    )
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print("Same choice afterwards, % of prompts: by the policy's rule; where half of them go to each model\n")
    print(f"| set, small model | prompts | to the large one, % | {' | '.join(HANDS)} |")
    print(f"|---|---|---|{'---|' * len(HANDS)}")
    try:
        for each in asked.tasks:
            print(row(named(each), asked.seed), flush=True)
    except SizewiseError as why:
        print(f"{why.message}; {why.hint}", file=sys.stderr)
        return why.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
