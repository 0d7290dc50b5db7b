"""Tokenizers of other forms than SLED's: transformers is the oracle."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sled.model.tokens.cosyvoice2 import ADDED_TOKENS as COSYVOICE2_TOKENS
from sled.text.incremental import IncrementalTokenizer
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.text.tokenizer import TextTokenizer, normalize_spaces
from tests.text.qwen2 import LINES, write_qwen2_tokenizer
from tests.text.test_incremental import SPACES, TRICKY, grown

BEGIN_SPEECH = 500
TYPED = ["[laughter]", "[", "[mn]", "<strong>", "</strong>", "<", "<|", "endofprompt|>"]
COMPOSED = ["e\u0301", "\u0301", "\u0323", "ᄀ", "ᅡ", "ᆨ", "\u212b", "(", "(a", "'S", "'Ll"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_qwen2_tokenizer(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> TextTokenizer:
    return TextTokenizer.from_pretrained(folder, None, None, BEGIN_SPEECH, COSYVOICE2_TOKENS)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    """Reads texts with transformers."""
    return load_corpus_tokenizer(folder, COSYVOICE2_TOKENS)


pieces = st.lists(
    st.sampled_from(TRICKY + TYPED * 2 + COMPOSED * 2 + SPACES * 3 + [*COSYVOICE2_TOKENS])
    | st.text(max_size=6),
    max_size=30,
)


@given(pieces=pieces)
@example(pieces=["(", "a"])
@example(pieces=["!", "(", "a"])
@example(pieces=["'", "L", "l", "ama"])
@example(pieces=["!!", "[brea", "th]", "a"])
@example(pieces=["aaa", "[brea", "d]"])
@example(pieces=["e", "\u0301", " ", "e"])
@settings(max_examples=150, deadline=None)
def test_the_tokens_are_those_of_transformers_however_the_text_is_cut(
    tokenizer: TextTokenizer, theirs: Any, pieces: list[str]
) -> None:
    whole = "".join(pieces)
    expected = [*theirs.ids(normalize_spaces(whole)), BEGIN_SPEECH]
    assert tokenizer.encode(normalize_spaces(whole)) == expected
    assert grown(tokenizer, pieces) == expected
    assert grown(tokenizer, whole) == expected


def test_special_tokens_may_be_typed(tokenizer: TextTokenizer, theirs: Any) -> None:
    assert tokenizer.vocab_size == theirs.size
    [mn, begin] = tokenizer.encode("[mn]")
    assert (mn, begin) == (tokenizer.vocab_size - 1, BEGIN_SPEECH)
    assert tokenizer.decode(tokenizer.encode("a [mn]b")) == "a [mn]b"
    assert tokenizer.num_bytes(mn) == 0


def test_tokens_come_while_the_text_grows(tokenizer: TextTokenizer) -> None:
    text = IncrementalTokenizer(tokenizer)
    for line in LINES[:2]:
        assert len(text.feed(line + " ")) >= len(tokenizer.encode(line)) - 2


def test_what_is_saved_is_read_again(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = TextTokenizer.from_pretrained(tmp_path, None, None, BEGIN_SPEECH, COSYVOICE2_TOKENS)
    assert again.form == tokenizer.form and again.vocab_size == tokenizer.vocab_size
    for line in (*LINES, "[mn]e\u0301"):
        assert again.encode(line) == tokenizer.encode(line)


def test_folders_that_transformers_wrote_are_read(
    tokenizer: TextTokenizer, theirs: Any, tmp_path: Path
) -> None:
    theirs.save_pretrained(tmp_path)
    again = TextTokenizer.from_pretrained(tmp_path, None, None, BEGIN_SPEECH)
    for line in (*LINES, "[mn]e\u0301"):
        assert again.encode(line) == tokenizer.encode(line)


def test_other_ways_to_divide_texts_are_refused(folder: Path, tmp_path: Path) -> None:
    tokenizer = TextTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    written = json.loads(path.read_text())
    own = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    for splitter in (None, {"type": "Whitespace"}, own):
        path.write_text(json.dumps(written | {"pre_tokenizer": splitter}))
        with pytest.raises(ValueError, match="divides texts in an unknown way"):
            TextTokenizer.from_pretrained(tmp_path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="no readable tokenizer"):
        TextTokenizer.from_pretrained(tmp_path)
