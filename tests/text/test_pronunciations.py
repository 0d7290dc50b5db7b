"""Pronunciations that the user gives: in a dictionary, in its file, and in the text."""

from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.normalization import open_normalizer, text_of
from sled.normalization.phoneme_alphabet import read_phonemes
from sled.text.markup import Words
from sled.text.plain import PlainTextReader
from sled.text.pronunciations import PronunciationReader, Pronunciations

ENTRIES = {
    "gif": "jif",
    "US": "U.S.",
    "C++": "see plus plus",
    ".NET": "dot net",
    "Kokoro": "/kˈoʊkəɹoʊ/",
    "k8s": "/kˌubəɹnˈɛɾiz/",
}


def said(text: str, normalization: str | None = "english", **entries: str) -> str:
    """What is said of a text with a dictionary; also check that pieces give the same."""
    found = set()
    for pieces in ([text], list(text)):
        reader = PlainTextReader(normalization, Pronunciations(entries))
        normalizer, words = open_normalizer(normalization), []
        for piece in pieces:
            for plain in reader.feed(piece):
                words += reader.trace(normalizer.feed(plain), 0)
        for plain in reader.finish():
            words += reader.trace(normalizer.feed(plain), 0)
        words += reader.trace(normalizer.finish(), 0)
        found.add(text_of(words).strip())
        for word in words:
            assert text[word.start : word.end].strip()
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("A GIF, a gif (or Gif).", "a jif, a jif (or jif)."),
        ("gifts, agif, gif's, gif-like", "gifts, agif, jif's, jif-like"),
        ("Help us in the US.", "help us in the u s."),  # only in its own case
        ("C++ and .NET, not C.", "see plus plus and dot net, not c."),
    ],
)
def test_words_of_the_dictionary_are_replaced(text, right):
    entries = {word: value for word, value in ENTRIES.items() if not value.startswith("/")}
    assert said(text, **entries) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Kokoro!", "kˈOkəɹO!"),
        ('"kokoro" is not (Kokoro).', "kˈOkəɹO"),
        ("Kokoro's K8S.", "kˈOkəɹOz kˌubəɹnˈɛTiz."),
        ("[GIF](/dʒɪf/) or [New York](/ˌnuː ˈjɔɹk/), too", "ʤɪf ɔɹ ˌnu ˈjɔɹk, tˈu"),
        ('<phoneme ph="ˈpikɑn">Pecan</phoneme> pie', "ˈpikɑn pˈI"),
    ],
)
def test_phonemes_are_said_as_they_are_written(text, right):
    assert right in said(text, "english-phonemes", **ENTRIES)


def test_phonemes_need_a_model_that_was_trained_on_them():
    for normalization in (None, "english"):
        with pytest.raises(ValueError, match="'Kokoro' has phonemes, and this model was not"):
            PlainTextReader(normalization, Pronunciations(ENTRIES))


@pytest.mark.parametrize(
    ("normalization", "text", "reason"),
    [
        (None, "[GIF](/dʒɪf/)", "this model was not trained on phonemes"),
        ("english", '<phoneme ph="dʒɪf">GIF</phoneme>', "this model was not trained on phonemes"),
        ("english-phonemes", "[GIF](/ʘɪf/)", "unknown signs ʘ"),
    ],
)
def test_phonemes_in_a_text_that_cannot_be_read_leave_the_spelling(
    normalization, text, reason, caplog
):
    reader = PlainTextReader(normalization)
    assert "".join(map(str, reader.feed(f"A {text} or {text}.") + reader.finish())) == (
        "A GIF or GIF."
    )
    (warning,) = caplog.messages
    assert warning.startswith("'GIF' and the like are read as they are spelled")
    assert reason in warning


@pytest.mark.parametrize(
    ("written", "ours"),
    {
        "/həˈloʊ/": "həlˈO".replace("lˈ", "ˈl"),
        "/deɪ taɪm haʊs bɔɪ ɡoʊ/": "dA tIm hWs bY ɡO",
        "tʃɝtʃ d͡ʒʌdʒ": "ʧɜɹʧ ʤʌʤ",
        "ˈwɔːtɚ": "ˈwɔTəɹ".replace("T", "t"),
        "ˈbʌt.n̩": "ˈbʌtᵊn",
        "bɜːd rɛd": "bɜɹd ɹɛd",
        "kˈOkəɹO": "kˈOkəɹO",
    }.items(),
)
def test_ordinary_ipa_is_read(written, ours):
    assert read_phonemes(written) == ours


@pytest.mark.parametrize("written", ["", "//", "ˈ", "ʘ", "qy", "5"])
def test_other_signs_are_refused(written):
    with pytest.raises(ValueError, match="write IPA, such as"):
        read_phonemes(written)


def test_a_file_has_an_entry_a_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# names\n\ngif\tjif\nUS => U.S.\nC++  see  plus plus\n", encoding="utf-8")
    assert said("GIF US C++", **Pronunciations.read(path)._entries) == "jif u s see plus plus"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gif jif", "line 2: 'gif jif' is no entry"),
        ("gif", "line 2: 'gif' is no entry"),
        ("gif  /ʘ/", "line 2: pronunciation of 'gif': /ʘ/ has unknown signs ʘ"),
    ],
)
def test_a_faulty_line_is_named(tmp_path, line, message):
    path = tmp_path / "words.txt"
    path.write_text(f"a  b\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Pronunciations.read(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"New York": "x"}, "one word, without spaces"),
        ({"a": " "}, "nothing is given"),
        ({"a": 5}, "not two texts"),
        (7, "give a mapping of words, or a file"),
        ("none.txt", "not a readable UTF-8 file"),
    ],
)
def test_what_is_no_dictionary_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Pronunciations.of(given)


@given(st.text("gifGIF'- C+", max_size=12), st.integers(0, 12))
def test_a_copy_goes_on_by_itself(text, cut):
    events = [Words(one, place, place + 1) for place, one in enumerate(text)]
    reader = PronunciationReader(Pronunciations(ENTRIES))
    before = [one for event in events[:cut] for one in reader.feed(event)]
    other = copy(reader)
    reader.feed(Words("gif x", 0, 5))
    after = [one for event in events[cut:] for one in other.feed(event)] + other.finish()
    whole = PronunciationReader(Pronunciations(ENTRIES))
    expected = whole.feed(Words(text, 0, len(text))) + whole.finish()
    assert text_of_words([*before, *after]) == text_of_words(expected)


def text_of_words(events: list[Words]) -> str:
    return "".join(event.text for event in events)
