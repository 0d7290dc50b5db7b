"""Further members of each kind, which no table lists: all of them are words when they are said."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.normalization import Dialect, SpokenWord, normalize, open_normalizer
from sled.normalization.kinds.calendar import MONTHS, SHORT_MONTHS, WEEKDAYS
from sled.normalization.kinds.money import _CURRENCIES, _SIGNS
from sled.normalization.kinds.unit_names import UNITS

numbers = (
    st.integers(0, 10**12).map(str)
    | st.integers(0, 10**9).map("{:,}".format)
    | st.decimals(0, 10**6, places=2).map(str)
)
years = st.integers(1100, 2099).map(str)
days = st.integers(1, 28)
short_months = st.sampled_from(sorted({*MONTHS, *SHORT_MONTHS, *(f"{m}." for m in SHORT_MONTHS)}))


def _joined(*parts: st.SearchStrategy[object] | str) -> st.SearchStrategy[str]:
    drawn = (part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts)
    return st.tuples(*drawn).map(lambda values: "".join(map(str, values)))


def _one(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


_version = st.lists(st.integers(0, 40), min_size=2, max_size=4).map(
    lambda parts: ".".join(map(str, parts))
)

KINDS = {
    "numbers": numbers
    | _joined(st.integers(0, 10**6), _one("st", "nd", "rd", "th"))
    | _joined(st.integers(1, 999), _one("-", "–", ":", "x"), st.integers(1, 9999)),
    "quantities": _joined(numbers, _one("", " ", "-"), st.sampled_from(sorted(UNITS)))
    | _joined(numbers, " ", _one("m", "km", "cm", "ft"), _one("²", "³", "^2", "/s", "/s²", "/min"))
    | _joined(st.integers(1, 9), "'", st.integers(0, 11), '"')
    | _joined(
        numbers, " ", _one("W", "kJ", "mg"), _one("/", "/kg/"),
        _one("m²K", "m²·K", "(m·K)", "(kg K)", "day", "min/1.73 m²"),
    ),
    "groups of digits": _joined(
        st.integers(1, 99), " ", st.integers(100, 999), " ", st.integers(100, 999),
        _one("", ",50", ".5"), _one("", " km", " €", " people"),
    ),
    "durations": _joined(
        _one("prep: ", "cook time ", "a "), st.integers(1, 59), _one("m", "m 20s", "m call")
    ),
    "strands": st.from_regex(r"5['′]-[ACGT]{3,9}( [ACGT]{3})?-3['′]", fullmatch=True),
    "money": _joined(st.sampled_from(sorted(_SIGNS)), _one("", " "), numbers)
    | _joined(numbers, _one("", " "), st.sampled_from(sorted(_CURRENCIES)))
    | _joined(_one("$", "€", "£"), numbers, _one("k", "M", "bn", " million", "/month", "-10")),
    "dates": _joined(short_months, " ", days, _one("", "th"), _one("", ", 1999", " 2024"))
    | _joined(days, " ", short_months, _one("", " 2024"))
    | _joined(years, _one("-", "/", "."), st.integers(1, 12), "-", days)
    | _joined(st.integers(1, 12), _one("/", ".", "-"), days, _one("", "/24", "/1999"))
    | _joined(st.sampled_from(WEEKDAYS), ", ", short_months, " ", days),
    "times": _joined(
        st.integers(0, 23),
        _one(":", "."),
        st.integers(10, 59),
        _one("", "am", " p.m.", ":30", "-9"),
    ),
    "phones": st.from_regex(
        r"(\+1[ .-])?([2-9]\d\d|\([2-9]\d\d\))[ .-]\d{3}[ .-]\d{4}", fullmatch=True
    )
    | st.from_regex(r"\+[1-9]\d( \d{2,4}){2,4}", fullmatch=True),
    "addresses": st.from_regex(
        r"(https?://)?(www\.)?[a-z]{2,9}(-[a-z]{2,5})?\.(com|org|co\.uk|de|io)(/[a-z]{1,8}){0,3}",
        fullmatch=True,
    )
    | st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?@[a-z]{2,9}\.(com|org|de)", fullmatch=True)
    | st.from_regex(r"(\d{1,2}\.){3}\d{1,2}", fullmatch=True)
    | st.from_regex(r"[a-z]{2,8}(_[a-z]{1,4})?\.(txt|md|py|json|mp3)", fullmatch=True),
    "sums": _joined(
        st.integers(0, 99),
        _one(" + ", "+", " × ", "*", " ÷ ", " < ", " ≥ "),
        st.integers(0, 99),
        _one("", " = 5", "=x", "² = y"),
    ),
    "fractions": _joined(st.integers(1, 40), "/", st.integers(1, 200), _one("", " cup", " km"))
    | _joined(st.integers(1, 9), _one("½", "¼", "⅔", " 1/2")),
    "versions": _joined(_one("v", "version ", "Python ", "release-"), _version)
    | _joined(_one("react@", "numpy>=", "node "), _version)
    | _joined(_one("USB ", "Wi-Fi ", "PM", "GPT-", "Llama-"), st.integers(1, 9), _one("", ".5")),
    "ordinals and decades": _joined(
        _one("the ", "the early ", "the mid-"), _one("19", "18", ""), st.integers(2, 9), _one("0s")
    )
    | _joined("the ", st.integers(1, 999), "'s owner"),
    "roman numerals": _joined(
        _one("Chapter ", "World War ", "Henry ", "Part ", "the "),
        st.from_regex(r"(X{0,3}(IX|IV|V?I{1,3}))", fullmatch=True),
        _one("", " century"),
    ),
    "formulas": st.from_regex(r"((H|C|N|O|Fe|Na|Ca|Cl|Mg)\d?){2,4}\d", fullmatch=True)
    | st.from_regex(r"(CO|SO|NO)[₂₃₄]|(Na|K|Ca²|Mg²|Fe³)⁺|(¹⁴C|²³⁵U)", fullmatch=True),
    "scores": _joined(st.integers(0, 120), _one("-", "–", ":"), st.integers(0, 120)),
    "instants": _joined(
        years, "-0", st.integers(1, 9), "-", st.integers(10, 28), "T", st.integers(10, 23), ":",
        st.integers(10, 59), _one("", ":00", ":30"), _one("", "Z", "+01:00", "-05:30"),
    ),
    "national numbers": st.from_regex(r"0\d{2,3} \d{3} \d{4}", fullmatch=True)
    | st.from_regex(r"\(0\d{1,3}\) \d{3,4} \d{4}", fullmatch=True)
    | st.from_regex(r"0\d( \d\d){4}", fullmatch=True),
    "hexadecimal": st.from_regex(r"([0-9A-F]{2}:){5}[0-9A-F]{2}", fullmatch=True)
    | st.from_regex(r"([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}", fullmatch=True)
    | st.from_regex(r"[23][0-9a-f]{3}:[0-9a-f]{1,4}::[0-9a-f]{1,4}", fullmatch=True)
    | st.from_regex(r"#[0-9A-F]{5}[0-9]", fullmatch=True),
    "code": _joined(_one("f", "math.floor", "get_name", "x.y.z"), "(", st.integers(0, 99), ")")
    | _joined(_one("sin", "cos", "log₂", "f", "f'", "max"), "(", _one("x", "2x", "30°", "-1"), ")")
    | _joined(_one("x", "i", "n"), _one(" += ", " == ", " != ", " ≠ ", " ≥ "), st.integers(0, 9)),
    "squares of chess": st.from_regex(r"[KQRBN]x?[a-h][1-8]", fullmatch=True),
    "abbreviations": _one(
        "Dr. Lee", "Elm St.", "e.g. tea", "the U.S. team", "(D-CA)", "3 p.m. EST", "J. R. Ewing",
        "Acme Inc.", "no. 5", "vol. II", "w/o", "and/or", "the CEO's", "p's and q's", "5 ft. 2 in.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_digit_and_no_sign_is_left(kind: str, data: st.DataObject) -> None:
    member = data.draw(KINDS[kind])
    said = normalize(f"It is {member} or so.", "english")
    assert re.fullmatch(r"[a-z ,.:'()-]+", said), member
    assert said.startswith("it is ") and said.endswith("or so.")


@pytest.mark.parametrize("kind", ["addresses", "phones", "hexadecimal", "instants", "versions"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_sentence_ends_within_an_address_or_a_number(kind: str, data: st.DataObject) -> None:
    said = normalize(f"it is {data.draw(KINDS[kind])}. yes", "english")
    assert said.count(".") == 1


@given(st.from_regex(r"[a-zA-Z]{1,4}|[1-9]\d{0,2}", fullmatch=True), _one("()", "[]", '""'))
@settings(max_examples=80, deadline=None)
def test_what_stands_in_parentheses_is_said(inner: str, around: str) -> None:
    said = normalize(f"the figure {around[0]}see {inner}{around[1]} too", "english")
    bare = normalize(f"the figure see {inner}, too", "english")
    assert re.findall(r"[a-z']+", said) == re.findall(r"[a-z']+", bare)


@given(st.lists(st.from_regex("[a-z]{2,9}", fullmatch=True), min_size=1, max_size=8))
@settings(deadline=None)
def test_normalising_twice_changes_nothing(words: list[str]) -> None:
    said = normalize(" ".join(words), "english")
    assert normalize(said, "english") == said


@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4), st.data())
@settings(max_examples=60, deadline=None)
def test_members_are_traced_and_said_the_same_however_they_are_fed(
    kinds: list[str], data: st.DataObject
) -> None:
    text = " and ".join(data.draw(KINDS[kind]) for kind in kinds)
    whole, fed = open_normalizer("english"), open_normalizer("english")
    words = whole.feed(text) + whole.finish()
    assert [word for character in text for word in fed.feed(character)] + fed.finish() == words
    for one, following in pairwise(words):
        same = (one.start, one.end) == (following.start, following.end)
        assert same or one.end <= following.start
    assert _places(text, words) >= {at for at, char in enumerate(text) if char.isalnum()} - {
        at + offset
        for match in re.finditer("https?(?=://)", text)
        for at in [match.start()]
        for offset in range(len(match[0]))
    }


def _places(text: str, words: list[SpokenWord]) -> set[int]:
    return {place for word in words for place in range(word.start, word.end)}


@pytest.mark.parametrize(
    ("written", "american", "british"),
    [
        (
            "01/02/2024",
            "january second, twenty twenty-four",
            "the first of february, twenty twenty-four",
        ),
        ("March 5", "march fifth", "march the fifth"),
        ("101 men", "one hundred one men", "one hundred and one men"),
        (
            "2,345",
            "two thousand three hundred forty-five",
            "two thousand three hundred and forty-five",
        ),
        ("in 2005", "in two thousand five", "in two thousand and five"),
        ("2024-05-01", "may first, twenty twenty-four", "the first of may, twenty twenty-four"),
    ],
)
def test_dialects_differ(written: str, american: str, british: str) -> None:
    readings: dict[Dialect, str] = {"american": american, "british": british}
    for dialect, said in readings.items():
        assert normalize(written, "english", dialect) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        # items, headings and short lines end with a pause
        ("Red\nBlue\nGreen", "red, blue, green"),
        ("Title\n\nOne two", "title. one two"),
        ("# Title\none", "title. one"),
        ("To buy:\n- apples\n- pears", "to buy: apples, pears"),
        ("1. Open it\n2) Close it", "one. open it, two. close it"),
        ("- [ ] milk\n- [x] bread", "milk, bread"),
        # a mark is enough
        ("One.\nTwo!\n\nThree", "one. two! three"),
        # long lines are wrapped
        (
            "The quick brown fox jumps over the lazy\ndog and runs away.",
            "the quick brown fox jumps over the lazy, dog and runs away.",
        ),
        (
            "The quick brown fox jumps over the lazy black\ndog and runs away.",
            "the quick brown fox jumps over the lazy black dog and runs away.",
        ),
    ],
)
def test_lines_end_with_a_pause(written: str, said: str) -> None:
    assert normalize(written, "english") == said


@pytest.mark.parametrize(
    ("written", "said", "unspoken"),
    [
        ("Łódź, œuvre, straße", "lodz, oeuvre, strasse", ""),
        ("Привет, world", "world", "Привет"),
        ("你好 world ⊕", "world", "你好⊕"),
        ("Hello 😀 → you", "hello - you", ""),
        ("π is Greek, ελληνικά too", "pi is greek, too", "ελληνικά"),
        ("...", "", ""),
        ("😀 !!! -- (?)", "", ""),
    ],
)
def test_what_cannot_be_said_is_left_out_and_named(written: str, said: str, unspoken: str) -> None:
    normalizer = open_normalizer("english")
    words = normalizer.feed(written) + normalizer.finish()
    assert "".join(word.text for word in words).strip() == said
    assert sorted(normalizer.unspoken) == sorted(set(unspoken))


@given(st.text("x", min_size=4, max_size=500))
@settings(max_examples=10)
def test_a_long_run_of_a_letter_is_short(text: str) -> None:
    assert len(normalize(text, "english").replace(" ", "")) <= 1 + len(text) // 100
