"""The table of common words: every word is found, and sounds as hibari-tts says it."""

from hypothesis import given
from hypothesis import strategies as st

from sled.normalization.phonemes import pronounce_with_hibari
from sled.normalization.pronunciations import PronunciationTable, common_words, table_of

words = st.text("ab'-é", min_size=1, max_size=4)
phonemes = st.text("əlˈO", min_size=1, max_size=4)


@given(table=st.dictionaries(words, phonemes), others=st.lists(words))
def test_a_table_finds_what_a_dictionary_finds(table: dict[str, str], others: list[str]) -> None:
    found = PronunciationTable(table_of(table.items()))
    for word in [*table, *others]:
        assert found.find(word) == table.get(word)
    assert sorted(found.words()) == sorted(table)


def test_common_words_sound_as_hibari_says() -> None:
    """If a new version of hibari-tts says them differently, voices trained before know these."""
    table = common_words()
    for word in table.words()[::40]:
        assert table.find(word) == pronounce_with_hibari(word)


def test_all_common_words_are_found() -> None:
    table = common_words()
    words = table.words()
    assert len(set(words)) == len(words) > 100_000
    assert all(map(table.find, words[::10]))
