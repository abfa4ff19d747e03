"""Makes the cold-start questions from a fixed seed: always the same, each with its scorer and reference; asks no model.

    python -m bench.routing.cold_start.make_questions      # prints them, one JSON object a line, as in questions.jsonl

The file is what `sizewise route outcomes` takes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from bench.routing.cold_start.facts import (
    CAPITALS,
    CHOICES,
    DAYS,
    FACTS,
    JOBS,
    MAILS,
    OPPOSITES,
    PAST,
    PEOPLE,
    PLURALS,
    REVIEWS,
    SYMBOLS,
    THINGS,
    TOPICS,
    TOWNS,
    WHO,
)

SEED = 20261127
NUMBER, WORD = "Answer with the number only.", "Answer with one word."
Made = tuple[str, str, object]
"""Prompt, scorer, reference."""


def questions() -> list[dict[str, object]]:
    dice = random.Random(SEED)
    made: list[dict[str, object]] = []
    for category, maker in MAKERS.items():
        for number, (prompt, scorer, reference) in enumerate(maker(dice), 1):
            row = {"prompt_id": f"{category}-{number}", "prompt": prompt, "category": category}
            made.append({**row, "scorer": scorer, "reference": reference})
    return made


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(left, right) for left, _, right in (pair.partition(":") for pair in text.split())]


def arithmetic(dice: random.Random) -> Iterator[Made]:
    for _ in range(10):
        a, b = dice.randrange(12, 480), dice.randrange(12, 480)
        yield f"Add {a} and {b}. {NUMBER}", "number", a + b
    for _ in range(8):
        a, b = dice.randrange(100, 900), dice.randrange(10, 99)
        yield f"Subtract {b} from {a}. {NUMBER}", "number", a - b
    for _ in range(8):
        a, b = dice.randrange(3, 13), dice.randrange(6, 40)
        yield f"Multiply {a} by {b}. {NUMBER}", "number", a * b
    for _ in range(6):
        a, b = dice.randrange(3, 13), dice.randrange(4, 30)
        yield f"Divide {a * b} by {a}. {NUMBER}", "number", b


def word_problem(dice: random.Random) -> Iterator[Made]:
    for who, town, thing in zip(PEOPLE, TOWNS, THINGS, strict=True):
        price, cut, count = dice.randrange(3, 30) * 10, dice.randrange(1, 9) * 2, dice.randrange(2, 6)
        yield (
            f"{who} buys {count} items in {town}. Each {thing} costs {price} euros, and the shop takes {cut} euros off"
            f" the total. How many euros does {who} pay? {NUMBER}",
            "number",
            count * price - cut,
        )
    for who, town in zip(PEOPLE[:8], reversed(TOWNS[4:]), strict=True):
        hours, pace = dice.randrange(2, 9), dice.randrange(30, 120)
        yield (
            f"{who} drives to {town} at {pace} kilometres per hour for {hours} hours. How many kilometres is that?"
            f" {NUMBER}",
            "number",
            hours * pace,
        )


def knowledge(dice: random.Random) -> Iterator[Made]:
    for country, city in _pairs(CAPITALS):
        yield f"Name the capital of {country}. {WORD}", "contains", city
    for element, symbol in _pairs(SYMBOLS):
        yield f"What is the chemical symbol of {element}? Answer with the symbol only.", "exact", symbol
    for question, answer in WHO:
        yield question, "number" if str(answer).isdigit() else "contains", answer


def language(dice: random.Random) -> Iterator[Made]:
    for word, other in _pairs(OPPOSITES):
        yield f"What is the opposite of '{word}'? {WORD}", "contains", other
    for word, many in _pairs(PLURALS):
        yield f"What is the plural of '{word}'? {WORD}", "contains", many
    for word, past in _pairs(PAST):
        yield f"What is the simple past of 'to {word}'? {WORD}", "contains", past


def choice(dice: random.Random) -> Iterator[Made]:
    for question, right, *wrong in CHOICES:
        options = dice.sample((right, *wrong), 4)
        listed = "\n".join(f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=True))
        yield f"{question} Answer with the letter only.\n\n{listed}", "choice", "ABCD"[options.index(right)]


def truth(dice: random.Random) -> Iterator[Made]:
    for statement, is_true in FACTS:
        yield f'Is this statement true or false? {WORD}\n\n"{statement}"', "exact", "true" if is_true else "false"


def topic(dice: random.Random) -> Iterator[Made]:
    for label, text in TOPICS:
        yield f"Is this text about sport, weather, food or music? {WORD}\n\nText: {text}", "exact", label


def spam(dice: random.Random) -> Iterator[Made]:
    for label, text in MAILS:
        asked = "Is this message unwanted advertising or fraud? Answer yes or no."
        yield f"{asked}\n\nMessage: {text}", "exact", "yes" if label == "spam" else "no"


def review(dice: random.Random) -> Iterator[Made]:
    for label, text in REVIEWS:
        yield (
            f"Does the writer like it? Answer yes or no.\n\nReview: {text}",
            "exact",
            ("yes" if label == "positive" else "no"),
        )


def reading(dice: random.Random) -> Iterator[Made]:
    for number in range(30):
        first, second = dice.sample(PEOPLE, 2)
        town, thing, other, job = dice.choice(TOWNS), dice.choice(THINGS), dice.choice(THINGS), dice.choice(JOBS)
        day, price = dice.choice(DAYS), dice.randrange(20, 400)
        text = (
            f"On {day} {first}, who works as a {job}, sold an old {thing} at the market in {town}. A neighbour called"
            f" {second} had offered a {other} for it, but {first} wanted {price} euros, and a tourist paid that."
        )
        asked, scorer, answer = (
            ("On which day was the market? " + WORD, "contains", day),
            (f"Who offered something else in exchange? {WORD}", "exact", second),
            (f"How many euros did the tourist pay? {NUMBER}", "number", price),
            (f"In which town was the market? {WORD}", "contains", town),
            (f"What is the job of {first}? {WORD}", "contains", job),
        )[number % 5]
        yield f"{text}\n\n{asked}", scorer, answer


def extraction(dice: random.Random) -> Iterator[Made]:
    for who, town, job in zip(PEOPLE[:10], TOWNS[:10], JOBS, strict=True):
        age = dice.randrange(21, 70)
        yield (
            f'Write a JSON object with the keys "name" (string), "age" (number) and "town" (string). Answer with the '
            f"JSON only.\n\nText: {who} is a {job} of {age} and lives in {town}.",
            "json",
            {"name": who, "age": age, "town": town},
        )
    for who, town, thing in zip(PEOPLE, TOWNS, THINGS, strict=True):
        mail, order = f"{who.lower()}@{town.lower()}-mail.example", dice.randrange(10_000, 99_999)
        text = f"Dear shop, the {thing} of order {order} came broken. Please write to {mail}. Regards, {who}"
        yield f"What is the order number in this message? {NUMBER}\n\n{text}", "number", order
        yield f"Copy the e-mail address from this message. Answer with the address only.\n\n{text}", "contains", mail


def ordering(dice: random.Random) -> Iterator[Made]:
    for _ in range(10):
        numbers = dice.sample(range(10, 999), 4)
        yield f"Which of these numbers is the largest: {', '.join(map(str, numbers))}? {NUMBER}", "number", max(numbers)
    for place in range(8):
        words = dice.sample(THINGS[place : place + 5], 3)
        yield f"Which of these words comes first in the alphabet: {', '.join(words)}? {WORD}", "contains", min(words)
    for word in ("banana", "letter", "mississippi", "coffee", "balloon", "tomorrow"):
        letter = dice.choice(sorted({each for each in word if word.count(each) > 1}))
        yield f"How often does the letter {letter} occur in '{word}'? {NUMBER}", "number", word.count(letter)


MAKERS = {
    "arithmetic": arithmetic,
    "story": word_problem,
    "knowledge": knowledge,
    "language": language,
    "choice": choice,
    "truth": truth,
    "topic": topic,
    "spam": spam,
    "review": review,
    "reading": reading,
    "extraction": extraction,
    "ordering": ordering,
}

if __name__ == "__main__":
    for each in questions():
        print(json.dumps(each, ensure_ascii=False))
