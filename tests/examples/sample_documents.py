"""Writes the PDF and the Word file of the support example: `python -m tests.examples.sample_documents`."""

from __future__ import annotations

from pathlib import Path

from tests.knowledge.sample_files import docx, pdf, said
from tests.walls.source import ROOT

HANDBOOK = ROOT / "examples" / "support" / "handbook"

MANUAL = (
    """Larkspur owner's manual
Models Heron, Plover and Wren, edition 7

This manual comes with every bike. Read the pages on load,
torque and brakes before the first ride.""",
    """Load

The permitted total weight is 140 kg for Heron and Plover
and 120 kg for the Wren: rider, bike, luggage and trailer hitch.
The rear carrier takes 27 kg, the front carrier 10 kg.
A trailer may weigh 50 kg, or 80 kg when it has brakes.
Child seats fit the Heron and the Plover, not the Wren.""",
    """Torque

Handlebar stem: 6 Nm. Seat clamp: 8 Nm. Front axle: 12 Nm.
Brake callipers: 8 Nm. Pedals: 35 Nm. Crank bolts: 40 Nm.
Use a torque wrench. Carbon seat posts are mounted with paste
and 5 Nm only.""",
    """Washing and weather

Wash the bike with a sponge and little water. A pressure washer
damages the bearings and the motor. Take the battery out before
washing. Rain does no harm: motor and display are sealed to IP54.
Water above the bottom bracket must be avoided.""",
    """Specification

Motor 250 W, support up to 25 km/h, 65 Nm on the Heron and
50 Nm on Plover and Wren. Weight with battery: Heron 24.8 kg,
Plover 21.3 kg, Wren 22.6 kg. Walk assistance up to 6 km/h.
Noise at the ear below 60 dB(A).""",
)

GUIDE = (
    ("Heading1", "Guide for support agents"),
    ("", "For people at the phone and in the chat. What stands here is not promised to customers in advance."),
    ("Heading1", "Goodwill"),
    ("", "An agent may give up to 60 euro of goodwill for each order without asking. A team lead may give up to 250 "
         "euro, the head of customer care more. Goodwill is given as a gift card, never as cash."),
    ("", "Goodwill is right when a rule hits somebody who did all they could: the battery that failed one week after "
         "its two years, the service that no workshop had time for. It is wrong as the price of silence."),
    ("Heading1", "Who is on the line"),
    ("", "Agents ask for the order number and the postcode. An address or a payment is never read aloud by us; the "
         "customer says it. Whoever calls for somebody else needs a message from the owner's mail address."),
    ("Heading1", "Escalation"),
    ("", "Hand over at once, day or night: injuries, smoke or heat from a battery, a broken frame or fork, and "
         "threats. Press holds the line too: do not answer the press, give them press@larkspur.example."),
    ("", "Everything else is escalated after two contacts that solved nothing. The case keeps its owner until the "
         "customer has said that it is solved."),
)  # fmt: skip

STYLES = '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    marks = [(page.partition("\n")[0], number) for number, page in enumerate(MANUAL, 1)]
    (folder / "owners-manual.pdf").write_bytes(pdf(MANUAL, marks, "Larkspur owner's manual"))
    words = "".join(said(text, style) for style, text in GUIDE)
    (folder / "agents-guide.docx").write_bytes(docx(words, STYLES))


if __name__ == "__main__":
    write(HANDBOOK / "files")
