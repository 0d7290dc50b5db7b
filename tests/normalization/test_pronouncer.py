"""Words sound as hibari-tts says them, however little of it is loaded."""

import gzip
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.normalization import pronouncer
from sled.normalization.pronouncer import LazyTagger, LexiconText, load_pronouncer
from sled.normalization.pronunciations import frequent_words
from sled.normalization.sorted_lines import SortedLines

keys = st.text("ab'-é ", min_size=1, max_size=4)
values = st.text("əlˈO", min_size=1, max_size=4)
entries = values | st.dictionaries(st.sampled_from(["DEFAULT", "NOUN"]), st.none() | values)


@pytest.fixture(scope="module")
def hibari() -> Iterator[pronouncer.ModuleType]:
    """The package as anyone imports it."""
    yield import_module("hibari.g2p")


@given(table=st.dictionaries(keys, values), others=st.lists(keys))
@settings(max_examples=50, deadline=None)
def test_sorted_lines_find_what_a_dictionary_finds(
    table: dict[str, str], others: list[str]
) -> None:
    lines = sorted(f"{key}\t{value}\n".encode() for key, value in table.items())
    found = SortedLines(b"".join(lines), b"\t")
    for key in [*table, *others]:
        assert found.find(key) == table.get(key)
    assert sorted(found.keys()) == sorted(table)


@given(table=st.dictionaries(keys, entries, min_size=1), others=st.lists(keys))
@settings(max_examples=50, deadline=None)
def test_a_lexicon_finds_what_a_dictionary_finds(
    table: dict[str, pronouncer.Entry], others: list[str]
) -> None:
    text = json.dumps(table, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    lexicon = LexiconText(text.encode())
    for key in [*table, *others]:
        assert lexicon.get(key) == table.get(key)


def test_every_entry_of_the_lexicons_is_found(hibari: pronouncer.ModuleType) -> None:
    for name in pronouncer._LEXICON_DIGESTS:
        file = Path(hibari.ASSETS) / name
        lexicon = LexiconText(gzip.decompress(file.read_bytes()))
        entries = json.loads(gzip.decompress(file.read_bytes()))
        nested = [word for word in entries if isinstance(entries[word], dict)]
        for word in [*list(entries)[::30], *nested]:
            assert lexicon.get(word) == entries[word]


# Words with several readings or special rules, their forms, and words that no lexicon has.
WORDS = "a am an by i in to the used vs read live record records recorded use house don't o'clock"
WORDS += (
    " well-read rock'n'roll it's they'll oswald's wolf-dogs smiths' zyzzyva zyzzyvas cafés naïve"
)
WORDS += " faltered crouching jays fangs obeys unreadable x rss mister b-b æon"


def test_words_sound_as_hibari_says_them(hibari: pronouncer.ModuleType) -> None:
    light, whole = load_pronouncer(), hibari.G2P()
    entries = whole.lexicon.golds.d
    many = [word.lower() for word in entries if isinstance(entries[word], dict)]
    words = [*WORDS.split(), *many[::30], *(word.lower() for word in list(entries)[::2000])]
    for form in [word + ending for word in words for ending in ("", "s", "ing", "ed")]:
        assert light(form) == whole(form, normalize_text=False), form


def test_frequent_words_sound_as_hibari_says_them(hibari: pronouncer.ModuleType) -> None:
    """Models know the phonemes of the table: a new version of hibari-tts must not change them."""
    table, whole = frequent_words(), hibari.G2P()
    words = table.keys()
    assert len(set(words)) == len(words) > 40_000
    for word in words[::25]:
        assert table.find(word) == "".join(filter(str.isalpha, whole(word, normalize_text=False)))


def test_the_tagger_is_loaded_only_where_tags_make_a_difference() -> None:
    loaded = []

    def load() -> pronouncer.Callable[[list[str]], list[str]]:
        loaded.append(True)
        return lambda words: ["VB"] * len(words)

    readings: dict[str, pronouncer.Entry] = {"read": {"DEFAULT": "ɹid", "VBD": "ɹɛd"}, "cat": "kæt"}
    tag = LazyTagger(readings.get, load)
    assert len(tag(["cat"])) == len(tag(["zyzzyvas"])) == 1
    assert not loaded
    assert tag(["reads"]) == ["VB"]
    assert tag(["cat", "'s"]) == ["VB", "VB"]
    assert len(loaded) == 1


def test_hibari_is_imported_without_its_speech_synthesis() -> None:
    assert pronouncer.import_g2p().__name__ not in ("hibari", "hibari.g2p")


def test_unknown_lexicons_are_read_by_hibari_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_pronouncer()("zyzzyva")
    digests = dict.fromkeys(pronouncer._LEXICON_DIGESTS, "another")
    monkeypatch.setattr(pronouncer, "_LEXICON_DIGESTS", digests)
    whole = load_pronouncer()
    assert whole("zyzzyva") == expected
    assert isinstance(pronouncer._load_light(pronouncer.import_g2p()).lexicon.golds.d, dict)


@pytest.mark.parametrize("broken", ["no such file", "an import from its parent"])
def test_hibari_in_another_form_is_imported_as_a_whole(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hibari: pronouncer.ModuleType
) -> None:
    expected = load_pronouncer()("zyzzyva")
    if broken != "no such file":
        (tmp_path / "g2p").mkdir()
        (tmp_path / "g2p" / "__init__.py").write_text("from ..tts import Hibari")
    spec = ModuleSpec("hibari", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert pronouncer.import_g2p() is hibari
    assert load_pronouncer()("zyzzyva") == expected
    assert pronouncer._NAME not in sys.modules
