"""Task of the tuning bench: messages to a parcel service, 12 intents; the test has templates of its own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

INSTRUCTIONS = "Name the intent of the customer's message to a parcel service. Answer with the intent alone."

PLACES = ("Lyon", "Graz", "Porto", "Leeds", "Turin", "Gdansk", "Aarhus", "Ghent", "Malaga", "Tartu", "Cork", "Bergen")
DAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "tomorrow",
    "next week",
    "the 14th",
    "today",
)
THINGS = ("a lamp", "two books", "a bicycle pump", "shoes", "a coffee grinder", "a violin bow", "plates", "a router")
PEOPLE = ("my sister", "a customer of mine", "my office", "our school", "my neighbour", "the workshop", "my parents")

TEMPLATES: Mapping[str, Sequence[str]] = {
    "track": (
        "Where is my parcel {n} right now?",
        "Can you see how far {thing} for {person} has come?",
        "The tracking page for {n} shows nothing. What is its status?",
        "Has the shipment to {place} left your depot yet?",
        "I only want to know in which city {n} is.",
        "Please look up {n} and say when it was last scanned.",
        "Is parcel {n} already on its way to {place}?",
        "What does the status 'in transit' of {n} mean today?",
        "Any news about the location of {thing} that I sent on {day}?",
        "Number {n}: which stop is next?",
    ),
    "late": (
        "{thing} should have come on {day} and is not here yet.",
        "My delivery to {place} is overdue since {day}.",
        "You promised {day}. Why does it take so long?",
        "Three days behind schedule with {n}, what is the delay?",
        "Express was paid for and it still did not arrive on {day}.",
        "The parcel for {person} is much slower than announced.",
        "Why is {n} delayed again?",
        "It has been stuck for a week and the date {day} has passed.",
        "The delivery date moved from {day} to later for the third time.",
        "How much longer must {person} wait? It was due on {day}.",
    ),
    "damaged": (
        "{thing} arrived broken.",
        "The box from {place} was crushed and {thing} is cracked.",
        "I unpacked {n} and everything inside is in pieces.",
        "Water got into the package, {thing} is ruined.",
        "The carton was torn open at the corner and the contents have dents.",
        "Someone must have dropped it: {thing} came with a big scratch.",
        "Glass fell out when {person} opened {n}.",
        "What you delivered on {day} is bent and cannot be used.",
        "The seal was intact but {thing} does not work and rattles since the transport.",
        "Photos of the smashed package {n} are attached.",
    ),
    "wrong_address": (
        "I mistyped the street, the parcel {n} must go to {place} instead.",
        "Please correct the house number of {n}.",
        "The address on my order is my old flat, I live in {place} now.",
        "Can {n} be redirected to {person}?",
        "The postcode that I gave you for {place} is not right.",
        "I forgot the apartment number on the label of {n}.",
        "{person} moved to {place}. Send {thing} there, please.",
        "There is an error in the recipient's street name of {n}.",
        "Would you deliver {n} at another address than the one I entered?",
        "The label says {place} but it has to be somewhere else.",
    ),
    "change_time": (
        "Nobody is home on {day}, could you come in the evening?",
        "Please deliver {n} on {day} instead.",
        "I need another time slot for {thing}.",
        "Can the driver come before noon on {day}?",
        "Reschedule the delivery for {person} to {day}.",
        "I work until six, a later appointment would be better.",
        "Is it possible to pick a different date for {n}?",
        "Hold {n} back and bring it on {day}.",
        "We are on holiday until {day}, deliver after that.",
        "The slot of {day} morning does not suit {person}, any other?",
    ),
    "pickup": (
        "Could someone collect {thing} at my home on {day}?",
        "I want to hand over a return, please send a driver to {place}.",
        "Book a collection for three boxes from {person}.",
        "How do I order that you fetch a parcel from me?",
        "Please pick up {n} at {person} on {day}.",
        "We have a pallet to be collected in {place}.",
        "A courier should come by and take {thing} along.",
        "Schedule a collection at our shop every {day}.",
        "Do you also come to the house to get parcels that I send?",
        "Can your van stop at {place} and take two packages with it?",
    ),
    "refund": (
        "I would like my money back for {n}.",
        "Please return the shipping fee, it did not work out.",
        "How long until the amount is back on my card?",
        "You owe me a reimbursement for the express fee to {place}.",
        "Reverse the payment for {n}.",
        "I paid twice for {thing}, send one amount back.",
        "When do I get the postage returned that I paid on {day}?",
        "My claim was accepted, where is the payout?",
        "The service failed, so I ask for compensation in money.",
        "Credit the 14 euros back to my account, please.",
    ),
    "invoice": (
        "I need a bill with VAT for {n}.",
        "Please send the receipt of {day} again.",
        "Our accounting lacks the invoice for the shipment to {place}.",
        "Where can I download my monthly statement?",
        "The company name on the invoice for {thing} is missing.",
        "Can I get a PDF of the receipt for {person}?",
        "The tax number has to be on the bill for {n}.",
        "Please issue the bill to {person} and not to me.",
        "I cannot find any document for my bookkeeping about {n}.",
        "Which position on the statement of {day} is the surcharge?",
    ),
    "customs": (
        "Which customs form do I need to send {thing} abroad?",
        "{n} is held at the border, they want a declaration.",
        "How much import duty is due for {thing}?",
        "Do I have to pay tax when it comes from outside the EU?",
        "The customs office in {place} asks for a proof of value.",
        "What tariff code fits {thing}?",
        "Is {thing} allowed into Switzerland without papers?",
        "I got a letter that duties for {n} are open.",
        "Who fills in the export declaration, you or {person}?",
        "Clearance of {n} is not finished, what documents are missing?",
    ),
    "lost": (
        "{n} has vanished, nobody can find it.",
        "The tracking says delivered on {day}, but I never got {thing}.",
        "Please start a search for the missing parcel to {place}.",
        "My package disappeared between {place} and here.",
        "It was handed to {person}, you say, but they have nothing.",
        "I want to report that {n} is gone.",
        "The depot in {place} says it does not have {thing} and neither do I.",
        "Two of three boxes came, one is missing.",
        "It is marked as left at the door, and there was nothing at the door.",
        "After four weeks I believe that {thing} will never turn up.",
    ),
    "complaint_driver": (
        "Your driver was rude to {person}.",
        "The courier threw {thing} over the fence.",
        "He did not even ring the bell on {day}.",
        "The man in the van shouted at me in {place}.",
        "Your employee left without a word and slammed our gate.",
        "The delivery person parked on our flowers on {day}.",
        "I want to complain about the behaviour of the driver in {place}.",
        "She refused to carry {thing} up although I paid for it, and laughed.",
        "The driver drove much too fast through our street on {day}.",
        "Whoever brought {n} was unfriendly and smoked in the hall.",
    ),
    "cancel": (
        "Please cancel the shipment {n}.",
        "I do not want to send {thing} any more, delete the order.",
        "Stop {n} before it leaves.",
        "Withdraw my order of {day}.",
        "I made the booking to {place} by mistake, undo it.",
        "Call off the delivery for {person}.",
        "Is it still possible to revoke order {n}?",
        "Forget about {thing}, I changed my mind.",
        "My order from {day} should be dropped, please.",
        "I no longer need the label for {n}, annul it.",
    ),
}
"""The last three of each intent are for the test alone."""

INTENTS: Sequence[str] = tuple(TEMPLATES)
TEST_TEMPLATES = 3


def messages(count: int, seed: int, *, test: bool) -> list[tuple[str, str]]:
    """`count` distinct messages and their intents, as many of each intent as of the others."""
    chance, found = random.Random(f"{seed}/{test}"), dict[str, str]()
    while len(found) < count:
        intent = INTENTS[len(found) % len(INTENTS)]
        these = TEMPLATES[intent][-TEST_TEMPLATES:] if test else TEMPLATES[intent][:-TEST_TEMPLATES]
        found[_written(chance, chance.choice(these))] = intent
    return list(found.items())


def _written(chance: random.Random, template: str) -> str:
    said = template.format(
        n=f"{chance.choice('ABKRX')}{chance.randrange(10_000, 99_999)}",
        place=chance.choice(PLACES),
        day=chance.choice(DAYS),
        thing=chance.choice(THINGS),
        person=chance.choice(PEOPLE),
    )
    said = said[0].upper() + said[1:]
    before = chance.choice(("", "", "", "Hello, ", "Hi. ", "Good morning! ", "Dear team, "))
    after = chance.choice(("", "", "", " Thanks.", " Regards", " Please answer soon.", " Thank you!"))
    return before + said + after
