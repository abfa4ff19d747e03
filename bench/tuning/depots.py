"""Depots: which of four delivers a parcel, by where it goes and not by where it comes from; towns are told in pairs.

A task in which the order of words decides: a head on vectors sees both towns, and cannot tell which is which.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

INSTRUCTIONS = "Name the depot that delivers the parcel: the one of the town that it goes to."
TOWNS: Mapping[str, Sequence[str]] = {
    "north": ("Bergen", "Malmo", "Aarhus", "Turku", "Tromso", "Uppsala"),
    "south": ("Porto", "Malaga", "Bari", "Patras", "Split", "Faro"),
    "west": ("Cork", "Leeds", "Nantes", "Ghent", "Brest", "Lille"),
    "east": ("Gdansk", "Brno", "Tartu", "Lviv", "Iasi", "Szeged"),
}
TRAIN = (
    "Please send {thing} from {a} to {b}.",
    "I have {thing} in {a} that must be in {b} by {day}.",
    "My {person} in {b} is waiting for {thing} from {a}.",
    "Collect {thing} in {a} and deliver it in {b}.",
    "{thing} for {b}, picked up in {a} on {day}.",
    "How much is a parcel to {b} if I post it in {a}?",
    "We moved from {a} to {b}, and {thing} should follow.",
    "To {b}, please, with {thing}; our shop is in {a}.",
    "The receiver lives in {b}, the sender in {a}.",
    "From our store in {a} we ship {thing} to {b} every {day}.",
    "Can you bring {thing} to {b}? It is in {a} now.",
    "I live in {a}. My {person} in {b} has bought {thing} of me.",
    "Return {thing} to {b}; I bought it there and live in {a}.",
    "{thing} leaves {a} on {day} and goes to {b}.",
    "Pick up in {a}, drop off in {b}, {thing}.",
    "A customer in {b} has ordered {thing}, our warehouse is in {a}.",
    "Take {thing} out of {a} and to my {person} in {b}.",
    "I am writing from {a} about {thing} for an address in {b}.",
    "Destination {b}, origin {a}, contents: {thing}.",
    "Origin {a}, destination {b}, contents: {thing}.",
    "On {day} my {person} brings {thing} to your shop in {a}; it is for {b}.",
    "It is for my {person} in {b}. Where in {a} can I hand {thing} in?",
    "Does {thing} get to {b} by {day} if it leaves {a} today?",
    "Sender: {a}. Receiver: {b}. One parcel with {thing}.",
)
TEST = (
    "I would like {thing} to go to {b}. I post it in {a}.",
    "The parcel with {thing} starts in {a}; its address is in {b}.",
    "Fetch {thing} from my {person} in {a} and take it to {b}.",
    "Our office in {b} expects {thing} from the one in {a}.",
    "Ship {thing} to {b} for me, starting from {a} on {day}.",
    "From {a}: {thing}, addressed to my {person} in {b}.",
    "Someone in {b} has paid for {thing}, which I keep in {a}.",
    "Send it on to {b}; at present {thing} is in {a}.",
)
WORDS: Mapping[bool, Mapping[str, Sequence[str]]] = {
    False: {
        "thing": ("a lamp", "two books", "the shoes", "a router", "a box of plates", "some tools", "a winter coat"),
        "person": ("sister", "customer", "neighbour", "parents", "office"),
        "day": ("Monday", "Tuesday", "Friday", "the 14th", "tomorrow"),
    },
    True: {
        "thing": ("a violin bow", "the curtains", "a kettle", "some medicine", "the tent"),
        "person": ("uncle", "tenant", "friend", "workshop"),
        "day": ("Wednesday", "Thursday", "the 22nd"),
    },
}


def rows(count: int, seed: int, *, test: bool) -> list[tuple[str, str]]:
    """`count` distinct messages with their depots, all depots alike. The two towns are never of one depot. A pair of
    towns of the test is in no message to learn from; each town is.
    """
    chance, found = random.Random(f"{seed}/{test}"), dict[str, str]()
    depots, templates = list(TOWNS), TEST if test else TRAIN
    while len(found) < count:
        depot = depots[len(found) % len(depots)]
        other = chance.choice([each for each in depots if each != depot])
        start, goal = chance.choice(TOWNS[other]), chance.choice(TOWNS[depot])
        if _is_held_out(start, goal) is not test:
            continue
        words = {gap: chance.choice(those) for gap, those in WORDS[test].items()}
        said = chance.choice(templates).format(a=start, b=goal, **words)
        found[said[0].upper() + said[1:]] = depot
    return list(found.items())


def _is_held_out(start: str, goal: str) -> bool:
    """A fifth of all pairs, whatever the order."""
    return random.Random("/".join(sorted((start, goal)))).random() < 0.2
