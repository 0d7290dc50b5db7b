"""The tokenizer: any text survives, and ids are those of the published format."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.data.synthetic.digits import DIGIT_WORDS
from sled.text.tokenizer import (
    BOS_ID,
    EOS_ID,
    MIN_VOCAB_SIZE,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    TextTokenizer,
)
from tests.hub import install_hub

SENTENCES = [
    "It was silent and gloomy, being tenanted solely by the captive.",
    "The captive's fire had been used for the purposes of cookery; it's lighted no more.",
    "Chapter 12: naïve café visitors paid 3.50 for the wine.",
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(SENTENCES, vocab_size=350)


@given(text=st.text())
@settings(deadline=None)
def test_any_text_survives(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids[0] == BOS_ID and ids[-1] == EOS_ID
    assert all(len(SPECIAL_TOKENS) <= i < tokenizer.vocab_size for i in ids[1:-1])
    assert tokenizer.decode(ids) == text


@given(parts=st.lists(st.sampled_from([*SPECIAL_TOKENS, "<mask>", " ", "two", "é"])))
@settings(deadline=None)
def test_typed_special_tokens_are_plain_text(tokenizer: TextTokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert not {BOS_ID, PAD_ID, EOS_ID, UNK_ID} & set(ids[1:-1])
    assert tokenizer.decode(ids) == text


@given(
    text=st.one_of(
        st.text(st.characters(exclude_characters="<>")),
        st.lists(st.sampled_from(" ".join(SENTENCES).split())).map(" ".join),
    )
)
@settings(deadline=None)
def test_ids_are_those_of_the_published_tokenizer_class(
    roberta: object, tokenizer: TextTokenizer, text: str
) -> None:
    assert tokenizer.encode(text) == roberta(text).input_ids  # type: ignore[operator]


@pytest.fixture(scope="module")
def roberta(tokenizer: TextTokenizer, tmp_path_factory: pytest.TempPathFactory) -> object:
    """transformers' own reading of the same two files."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return transformers.RobertaTokenizerFast.from_pretrained(folder)


def test_saved_files_are_of_the_published_form(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["merges.txt", "vocab.json"]
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert sorted(vocabulary.values()) == list(range(350)) == list(range(tokenizer.vocab_size))

    again = TextTokenizer.from_pretrained(folder)
    assert again.vocab_size == 350
    assert again.encode(SENTENCES[0]) == tokenizer.encode(SENTENCES[0])


def test_training_is_reproducible_and_stops_when_nothing_is_left_to_merge() -> None:
    lines = [f"{first} {second}" for first in DIGIT_WORDS for second in DIGIT_WORDS]
    tokenizer = TextTokenizer.train(lines, vocab_size=10_000)
    assert tokenizer.vocab_size < 320
    assert all(
        len(tokenizer.encode(text)) == 3 for word in DIGIT_WORDS for text in (word, " " + word)
    )
    again = TextTokenizer.train(lines, vocab_size=10_000)
    assert [again.encode(line) for line in lines] == [tokenizer.encode(line) for line in lines]


def test_impossible_training_is_refused() -> None:
    with pytest.raises(ValueError, match=str(MIN_VOCAB_SIZE)):
        TextTokenizer.train(SENTENCES, vocab_size=MIN_VOCAB_SIZE - 1)
    with pytest.raises(ValueError, match="blank"):
        TextTokenizer.train(["", "  \n"], vocab_size=300)


def test_folders_without_a_tokenizer_are_refused(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks vocab.json and merges.txt"):
        TextTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(ValueError, match=r"lacks merges.txt"):
        TextTokenizer.from_pretrained(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nnot in vocabulary\n")
    with pytest.raises(ValueError, match="no readable tokenizer"):
        TextTokenizer.from_pretrained(tmp_path)


def test_vocabularies_of_another_form_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "<s>": 1, "a": 2}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(ValueError, match="published form"):
        TextTokenizer.from_pretrained(tmp_path)


def test_hub_names_are_looked_up_on_the_hub(
    tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.save_pretrained(tmp_path / "speech")
    (tmp_path / "empty").mkdir()
    repositories = {"someone/speech": tmp_path / "speech", "someone/empty": tmp_path / "empty"}
    install_hub(monkeypatch, repositories, tmp_path / "cache")
    assert TextTokenizer.from_pretrained("someone/speech").vocab_size == 350
    with pytest.raises(ValueError, match="no tokenizer someone/else: there is no folder"):
        TextTokenizer.from_pretrained("someone/else")
    with pytest.raises(ValueError, match="someone/empty on .* has no vocab.json"):
        TextTokenizer.from_pretrained("someone/empty")
