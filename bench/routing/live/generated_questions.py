"""Makes the questions whose answers can be computed: from a fixed seed, always the same; knows no model.

python -m bench.routing.live.generated_questions        # prints them, one JSON object a line, as they stand in
questions.jsonl
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date, timedelta

SEED = 20261125
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WORDS = ("lantern", "orbit", "copper", "thimble", "meadow", "signal", "walnut", "harbour", "pencil", "glacier")
LETTERS = (("strawberry", "r"), ("bookkeeper", "e"), ("assessment", "s"), ("committee", "m"))
NUMBER = "Answer with the number only."
Row = dict[str, object]
Asked = tuple[str, dict[str, object], str]
"""Prompt, check, reference answer."""


def rows() -> list[Row]:
    dice = random.Random(SEED)
    kinds = {"arithmetic": arithmetic, "units": units, "date": dates, "text": text}
    made: list[Row] = []
    for kind, maker in kinds.items():
        for number, (prompt, check, reference) in enumerate(maker(dice), 1):
            made.append(_row(f"{kind}-{number}", kind, prompt, check, reference))
    return made


def _row(id: str, kind: str, prompt: str, check: dict[str, object], reference: str) -> Row:
    return {"id": id, "kind": kind, "prompt": prompt, "check": check, "reference": reference}


def arithmetic(dice: random.Random) -> Iterator[Asked]:
    for _ in range(4):
        a, b = dice.randrange(11, 99), dice.randrange(11, 99)
        yield _number(f"What is {a} + {b}?", a + b)
    for _ in range(4):
        a, b = dice.randrange(51, 199), dice.randrange(11, 49)
        yield _number(f"What is {a} - {b}?", a - b)
    for _ in range(3):
        a, b = dice.randrange(3, 10), dice.randrange(3, 10)
        yield _number(f"What is {a} times {b}?", a * b)
    for _ in range(3):
        a, b = dice.randrange(12, 60), dice.randrange(12, 60)
        yield _number(f"What is {a} times {b}?", a * b)
    for _ in range(3):
        a, b, c = dice.randrange(2, 20), dice.randrange(2, 9), dice.randrange(2, 9)
        yield _number(f"What is {a} + {b} * {c}?", a + b * c)
    for _ in range(3):
        share, whole = dice.choice((5, 10, 20, 25, 40)), dice.randrange(2, 30) * 20
        yield _number(f"What is {share} percent of {whole}?", share * whole // 100)
    for thing in ("apples", "stamps", "screws", "tickets"):
        boxes, each, away = dice.randrange(3, 9), dice.randrange(6, 25), dice.randrange(2, 15)
        yield _number(
            f"A shop has {boxes} boxes with {each} {thing} each and sells {away} {thing}. How many {thing} are left?",
            boxes * each - away,
        )


def units(dice: random.Random) -> Iterator[Asked]:
    many = (
        ("metres", "kilometres", 1000, dice.randrange(2, 40)),
        ("grams", "kilograms", 1000, dice.randrange(2, 40)),
        ("millilitres", "litres", 1000, dice.randrange(2, 40)),
        ("minutes", "hours", 60, dice.randrange(3, 15)),
        ("seconds", "minutes", 60, dice.randrange(3, 15)),
        ("hours", "days", 24, dice.randrange(3, 9)),
        ("centimetres", "metres", 100, dice.randrange(3, 60)),
        ("inches", "feet", 12, dice.randrange(3, 15)),
        ("days", "weeks", 7, dice.randrange(5, 30)),
        ("months", "years", 12, dice.randrange(5, 30)),
    )
    for small, big, factor, count in many:
        yield _number(f"How many {small} are {count} {big}?", count * factor)
    for _ in range(2):
        celsius = dice.randrange(1, 19) * 5
        yield _number(f"What is {celsius} degrees Celsius in degrees Fahrenheit?", celsius * 9 // 5 + 32)
    for _ in range(2):
        metres = dice.randrange(2, 99) * 250
        wanted = metres / 1000
        yield f"How many kilometres are {metres} metres? {NUMBER}", {"number": wanted, "within": 0.0001}, f"{wanted:g}"


def dates(dice: random.Random) -> Iterator[Asked]:
    for _ in range(4):
        today, later = dice.randrange(7), dice.randrange(2, 20)
        yield _day(f"Today is {DAYS[today]}. Which day of the week is it in {later} days?", (today + later) % 7)
    for _ in range(4):
        begin, later = _date(dice), dice.randrange(5, 40)
        wanted = (begin + timedelta(later)).isoformat()
        prompt = f"Which date is {later} days after {begin.isoformat()}? Answer in the form YYYY-MM-DD only."
        yield prompt, {"says": [wanted]}, wanted
    for _ in range(3):
        begin, later = _date(dice), dice.randrange(9, 60)
        end = begin + timedelta(later)
        if end.day == later:
            end, later = end + timedelta(1), later + 1
        spoken = f"from {begin.isoformat()} to {end.isoformat()}, the first day not counted"
        yield _number(f"How many days is it {spoken}?", later)
    for _ in range(3):
        hour, minute, later = dice.randrange(6, 14), dice.choice((5, 15, 30, 45)), dice.randrange(70, 400)
        arrival = hour * 60 + minute + later
        clock = f"{arrival // 60:02}:{arrival % 60:02}"
        prompt = f"A train leaves at {hour:02}:{minute:02} and needs {later} minutes. When does it arrive?"
        yield f"{prompt} Answer in the form HH:MM only.", {"says": [clock]}, clock


def text(dice: random.Random) -> Iterator[Asked]:
    words = dice.sample(WORDS, len(WORDS))
    for word in words[:4]:
        prompt = f"Write the word {word} backwards. Answer with the reversed word only."
        yield prompt, {"says": [word[::-1]]}, word[::-1]
    for word, letter in LETTERS:
        prompt = f"How many times does the letter {letter} occur in the word {word}?"
        yield _number(prompt, word.count(letter))
    for _ in range(3):
        chosen = dice.sample(WORDS, dice.randrange(4, 9))
        yield _number(f"How many words are in this list: {' '.join(chosen)}?", len(chosen))
    for place, name in ((2, "third"), (-1, "last"), (1, "second")):
        chosen = dice.sample(WORDS, 5)
        prompt = f"Which is the {name} word of this list: {' '.join(chosen)}? Answer with that word only."
        yield prompt, {"says": [chosen[place]], "not": [w for w in chosen if w != chosen[place]]}, chosen[place]


def _number(question: str, wanted: int) -> Asked:
    return f"{question} {NUMBER}", {"number": wanted}, str(wanted)


def _day(question: str, wanted: int) -> Asked:
    others = [day for number, day in enumerate(DAYS) if number != wanted]
    return f"{question} Answer with one word.", {"says": [DAYS[wanted]], "not": others}, DAYS[wanted]


def _date(dice: random.Random) -> date:
    return date(2024, 1, 1) + timedelta(dice.randrange(700))


if __name__ == "__main__":
    for row in rows():
        print(json.dumps(row, ensure_ascii=False))
