"""Random sentences from templates, for what books of one kind lack.

Numbers, dates, times and sums of money as people write them; names and places; questions and
exclamations; very short sentences, and long ones of several clauses.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from sled.normalization.kinds.calendar import MONTHS

_WORDS = {
    "name": (
        "Aaron Abigail Adam Alice Amelia Andrew Anna Arthur Barbara Ben Bridget Caleb Carmen "
        "Caroline Charles Chloe Clara Daniel David Diana Dorothy Edward Eleanor Elijah Emily Emma "
        "Eric Ethan Eva Fiona Florence Frank George Grace Hannah Harold Harry Hector Helen Henry "
        "Hugo Ida Isaac Isabel Jack Jacob James Jane Jasmine Joan Joel John Jonah Joseph Joshua "
        "Julia Karen Keith Laura Leo Lily Linda Louis Lucy Luke Lydia Mabel Marcus Margaret Maria "
        "Mark Martha Martin Mary Matthew Maya Michael Miguel Molly Nathan Nicholas Nina Noah Nora "
        "Oliver Olivia Oscar Paul Peter Philip Priya Rachel Ralph Rebecca Richard Robert Rosa Ruth "
        "Samuel Sarah Sofia Sophie Stella Stephen Susan Teresa Theodore Thomas Tom Victor Violet "
        "Walter William Yusuf Zoe"
    ),
    "surname": (
        "Adams Allen Anderson Bailey Baker Barnes Bennett Brooks Brown Butler Campbell Carter "
        "Chang Clark Collins Cooper Cruz Davis Diaz Edwards Evans Fisher Flores Foster Garcia Gray "
        "Green Griffin Hall Harris Hayes Henderson Hill Howard Hughes Jackson Jenkins Johnson "
        "Jones Kelly Kennedy King Kumar Lee Lewis Long Lopez Martin Mitchell Moore Morgan Morris "
        "Murphy Murray Myers Nelson Nguyen Ortiz Parker Patel Perry Peterson Phillips Powell Price "
        "Ramirez Reed Richardson Rivera Roberts Rogers Ross Russell Sanders Scott Shaw Silva "
        "Simmons Singh Smith Stewart Sullivan Taylor Thompson Turner Walker Ward Watson White "
        "Williams Wilson Wood Wright"
    ),
    "title": "Mr. Mrs. Ms. Dr. Prof. Capt. Gov.",
    "place": (
        "Alaska Amsterdam Arizona Athens Atlanta Australia Baltimore Berlin Boston Brazil Bristol "
        "Brussels Cairo California Canada Chicago China Cleveland Colorado Copenhagen Dallas "
        "Denver Detroit Dublin Edinburgh Egypt England Florida France Geneva Georgia Germany "
        "Glasgow Greece Houston Iceland India Ireland Italy Japan Kansas Kentucky Kenya Lisbon "
        "Liverpool London Maine Manchester Melbourne Mexico Miami Minnesota Montreal Moscow Naples "
        "Nevada Norway Ohio Oregon Oslo Oxford Paris Philadelphia Phoenix Poland Portland Prague "
        "Rome Scotland Seattle Shanghai Spain Stockholm Sweden Sydney Texas Tokyo Toronto Utah "
        "Venice Vermont Vienna Virginia"
    ),
    "things": (
        "apples bags bananas bicycles boats books bottles bridges buildings candles cars chairs "
        "coats coins cups doors eggs envelopes films flowers forks gardens gloves hats horses "
        "houses islands keys lamps lemons letters machines maps mirrors newspapers oranges "
        "paintings pencils photos planes plates questions rivers roads rooms schools ships shoes "
        "shops spoons stamps stones stories streets students tables teachers tickets towers towns "
        "trains trees trucks umbrellas villages visitors walls watches windows"
    ),
    "quality": (
        "ancient beautiful blue bright busy careful cheap clever cold curious dangerous dark early "
        "easy empty enormous famous fast fresh friendly gentle golden green happy heavy honest "
        "hungry icy important kind large late lazy little lonely loud lucky modern narrow noisy "
        "old open ordinary patient perfect pleasant polite proud quick quiet red rough round sad "
        "sharp shiny silent simple slow small smooth soft strange strong sweet tall thin tired "
        "warm wide wild wise wonderful young"
    ),
    "did": (
        "arrived called cooked danced disappeared failed finished laughed left listened lost paid "
        "slept smiled spoke stayed succeeded travelled waited whistled won worked"
    ),
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "unit": "km kg mph cm ft lbs MB",
}
_LISTS = {slot: words.split() for slot, words in _WORDS.items()}


def _year(rng: random.Random) -> str:
    return str(rng.choice((rng.randint(1400, 1999), rng.randint(1900, 2030))))


def _number(rng: random.Random) -> str:
    """A number of any magnitude, each as likely; thousands with or without a comma."""
    number = rng.randint(2, 10 ** rng.randint(1, 7))
    return f"{number:,}" if number >= 10_000 or rng.random() < 0.5 else str(number)


def _time(rng: random.Random) -> str:
    minute = rng.choice((0, 5, 10, 15, 20, 30, 45, rng.randint(1, 59)))
    return f"{rng.randint(1, 12)}:{minute:02d}{rng.choice(('', '', ' a.m.', ' p.m.'))}"


def _money(rng: random.Random) -> str:
    sign = rng.choice("$$$£€")
    large = f"{rng.randint(2, 900)} {rng.choice(('million', 'billion'))}"
    amounts = (str(rng.randint(2, 999)), f"{rng.randint(1, 99)}.{rng.randint(10, 99)}", large)
    return sign + rng.choice((*amounts, f"{rng.randint(1, 99)},{rng.randint(0, 999):03d}"))


def _day(rng: random.Random) -> str:
    """A day of a year."""
    month, day = rng.choice(MONTHS), rng.randint(1, 28)
    weekday = rng.choice(_LISTS["weekday"])
    return rng.choice((f"{month} {day}, {_year(rng)}", f"{month} {day}", weekday))


def _ordinal(rng: random.Random) -> str:
    number = rng.randint(1, 31)
    suffix = "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _person(rng: random.Random) -> str:
    first, last, title = (rng.choice(_LISTS[slot]) for slot in ("name", "surname", "title"))
    return rng.choice((first, first, f"{first} {last}", f"{title} {last}"))


def _one_of(values: list[str]) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(values)


_SLOTS: dict[str, Callable[[random.Random], str]] = {
    **{slot: _one_of(words) for slot, words in _LISTS.items()},
    "month": _one_of(MONTHS),
    "person": _person,
    "year": _year,
    "number": _number,
    "small": lambda rng: str(rng.randint(2, 20)),
    "decimal": lambda rng: f"{rng.randint(0, 99)}.{rng.randint(1, 99)}",
    "time": _time,
    "money": _money,
    "day": _day,
    "ordinal": _ordinal,
    "percent": lambda rng: f"{rng.randint(1, 100)}%",
    "phone": lambda rng: f"{rng.randint(200, 999)}-{rng.randint(0, 9999):04d}",
}
_SLOT = re.compile(r"{(\w+)}")

_SHORT = [
    "Yes.",
    "No!",
    "Why not?",
    "Thank you, {name}.",
    "Good morning, {person}.",
    "I see.",
    "Of course.",
    "Come in!",
    "Not yet.",
    "{number}.",
    "{person}.",
    "{place}.",
    "{quality}?",
    "Wait!",
    "How {quality}!",
    "In {year}.",
    "Page {small}.",
    "Hello, {name}!",
    "See you on {weekday}.",
    "It is {quality}.",
    "At {time}.",
    "Only {money}?",
]
_QUESTIONS = [
    "Where did {person} go in {year}?",
    "How many {things} are there in {place}?",
    "Did you say {number} or {number}?",
    "Is it {time} already?",
    "Who sold {small} {things} to {person}?",
    "Can you call {person} at {phone}?",
    "Why would anyone pay {money} for {quality} {things}?",
    "When will the {quality} {things} come from {place}?",
    "What happened on {day}?",
    "Have you ever been to {place}, {name}?",
    "Do you know whether {person} {did}?",
    "Are the {things} {quality}, or are they {quality}?",
]
_STATEMENTS = [
    "{person} {did} on {day}.",
    "The meeting starts at {time} on {weekday}.",
    "{person} bought {number} {things} for {money}.",
    "In {year}, about {number} people lived in {place}.",
    "The {ordinal} of {month} was {quality}.",
    "It costs {money}, which is {percent} more than in {year}.",
    "The {quality} one had {number} {unit}, this one {decimal} {unit}.",
    "We drove {small} km and saw {number} {quality} {things}.",
    "The answer is {decimal}, not {decimal}.",
    "Between {year} and {year} the {things} of {place} became {quality}.",
    "Please ask {person} about the {quality} {things}.",
    "No. {small} is a {quality} house near {place}.",
    "My number is {phone}.",
    "Nearly {percent} of the {things} were {quality}.",
    "{person} lives at {number} Main St. in {place}.",
    "What a {quality} day!",
    "All {small} of them {did}, and nobody knew why.",
    "Be {quality}, {name}; the {things} are {quality} today.",
    "The train from {place} to {place} leaves at {time}.",
    "Chapter {small} tells of {person} and the {quality} {things}.",
    '"I {did}," said {name}, "because the {things} were {quality}."',
]
_OPENINGS = [
    "When {person} came back from {place} in {year}",
    "Although the {things} were {quality} and {quality}",
    "Since nobody in {place} had seen such {quality} {things} before",
    "On the {ordinal} of {month}, shortly after {time}",
    "If you count the {things}, the {things} and the {things}",
    "Because {money} seemed too much for {small} {things}",
]
_ENDINGS = [
    "{person} {did}, and so did {person}",
    "there were only {number} {things} left, most of them {quality}",
    "the {quality} people of {place} {did}",
    "{person} asked for {money}, but nobody wanted to pay for {quality} {things}",
    "it took {person} more than {small} days to find the {quality} {things}",
]
# Relative frequency of each kind.
_WEIGHTS = {"short": 2, "question": 3, "statement": 4, "long": 2}


def make_sentence(rng: random.Random) -> str:
    """A random sentence; it need not make sense."""
    kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if kind == "long":
        pattern = f"{rng.choice(_OPENINGS)}, {rng.choice(_ENDINGS)}."
    else:
        kinds = {"short": _SHORT, "question": _QUESTIONS, "statement": _STATEMENTS}
        pattern = rng.choice(kinds[kind])
    sentence = _SLOT.sub(lambda slot: _SLOTS[slot[1]](rng), pattern)
    return sentence[0].upper() + sentence[1:].replace("..", ".")
