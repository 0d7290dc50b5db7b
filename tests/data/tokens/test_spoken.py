"""Which text token is said in each speech token, from aligned cuts to batches."""

import re

import numpy as np
import pytest
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.cut import Cut

from sled.data.alignment.spoken_times import with_words
from sled.data.tokens.options import COSYVOICE2
from sled.data.tokens.pack import write_parquet
from sled.data.tokens.pipeline import TokenBatches
from sled.data.tokens.spoken import write_spoken
from sled.data.tokens.tables import SPEECH_TOKENS, SPOKEN_TOKENS, read_tokens, write_table
from sled.text.published_tokenizers import OwnTokenizer
from tests.commands import run
from tests.data.tokens.corpora import make_folder, name, seconds
from tests.debug import debug_tokenizer

RATE = 25.0


def text_of(number: int) -> str:
    return f"This is utterance {number}."


def make_cut(number: int, text: str) -> Cut:
    """A cut of an utterance of the folder; all words take equally long."""
    length_s = seconds(number)
    recording = Recording(name(number), [], 24_000, round(24_000 * length_s), length_s)
    supervision = SupervisionSegment(name(number), name(number), 0.0, length_s, text=text)
    cut = MonoCut(name(number), 0.0, length_s, 0, [supervision], recording=recording)
    words = text.split()
    ends_s = [length_s * (1 + place) / len(words) for place in range(len(words))]
    return with_words(cut, words, ends_s, [0.0] * len(words))


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "source", 6)


def test_the_middle_of_a_word_is_a_token_of_that_word(folder):
    tokenizer = OwnTokenizer(debug_tokenizer())
    cuts = [make_cut(number, text_of(number)) for number in range(4)]
    cuts.append(make_cut(4, "Another text."))  # the last one has no cut
    report = write_spoken(folder, cuts, tokenizer, RATE)
    assert (report.utterances, report.unknown) == (6, [name(4), name(5)])
    table, speech = read_tokens(report.table), read_tokens(folder / SPEECH_TOKENS)
    for number in range(6):
        said = table[name(number)]
        assert len(said) == len(speech[name(number)])
        if number > 3:
            assert (said == -1).all()
            continue
        text = text_of(number)
        words = list(re.finditer(r"\S+", text))
        ends = tokenizer.token_ends(text)
        assert (np.diff(said) >= 0).all() and said[0] >= 0 and said[-1] <= len(ends)
        for place, word in enumerate(words):
            middle_s = seconds(number) * (place + 0.5) / len(words)
            character = ends[said[round(RATE * middle_s) - 1]] - 1
            assert word.start() - 1 <= character <= word.end()


def test_batches_have_it_where_any_of_their_rows_does(folder, tmp_path):
    tokenizer = OwnTokenizer(debug_tokenizer())

    def batch_of(files):
        batches = TokenBatches(files, tokenizer.ids, COSYVOICE2, training=False)
        [batch] = batches
        return batch

    without = write_parquet(folder, tmp_path / "without").files
    assert "spoken_token" not in batch_of(without)
    write_spoken(folder, [make_cut(n, text_of(n)) for n in range(5)], tokenizer, RATE)
    files = write_parquet(folder, tmp_path / "with").files
    table = read_tokens(folder / SPOKEN_TOKENS)
    for names, of_rows in ((files, 6), ([*files, *without], 12)):
        batch = batch_of(names)
        known = 0
        for utt, row, length in zip(
            batch["utts"], batch["spoken_token"], batch["spoken_token_len"], strict=True
        ):
            if row[:length].tolist() == table[utt].tolist():
                known += 1
            else:
                assert (row[:length] == -1).all()
        assert len(batch["utts"]) == of_rows and known >= 6


def test_a_row_of_another_length_is_bad(folder, tmp_path):
    write_table(folder / SPOKEN_TOKENS, {name(n): np.zeros(3, np.int64) for n in range(6)})
    files = write_parquet(folder, tmp_path / "packed").files
    batches = TokenBatches(files, lambda text: [4], COSYVOICE2, training=False)
    with pytest.raises(ValueError, match="3 spoken_token for"):
        list(batches)


def test_a_row_of_another_tokenizer_is_bad(folder, tmp_path):
    tokenizer = OwnTokenizer(debug_tokenizer())
    write_spoken(folder, [make_cut(n, text_of(n)) for n in range(6)], tokenizer, RATE)
    files = write_parquet(folder, tmp_path / "packed").files
    batches = TokenBatches(files, lambda text: [4], COSYVOICE2, training=False)
    with pytest.raises(ValueError, match="the text has 1: run sled cache spoken"):
        list(batches)


def test_white_space_of_the_manifest_does_not_move_tokens(folder):
    tokenizer = OwnTokenizer(debug_tokenizer())
    tables = []
    for text in ("This is utterance {}.", " This  is utterance {}. "):
        cuts = [make_cut(number, text.format(number)) for number in range(6)]
        tables.append(read_tokens(write_spoken(folder, cuts, tokenizer, RATE).table))
    assert all(np.array_equal(tables[0][name(n)], tables[1][name(n)]) for n in range(6))


def test_the_command(folder, tmp_path, capsys):
    debug_tokenizer().save_pretrained(tmp_path / "tokenizer")

    def manifest(numbers):
        path = tmp_path / "aligned.jsonl.gz"
        CutSet.from_cuts([make_cut(n, text_of(n)) for n in numbers]).to_file(path)
        return path

    flags = ["--input", folder, "--tokenizer", tmp_path / "tokenizer", "--manifest"]
    assert run("cache spoken", *flags, manifest(range(6))) == 0
    assert "6 utterances in" in capsys.readouterr().out
    assert run("cache spoken", *flags, manifest([8])) == 2
    assert "no utterance of" in capsys.readouterr().err
    assert run("cache spoken", *flags, manifest([1]), "--token_rate", "0") == 2
    assert run("cache spoken", *flags, manifest([1]), "--token_rate", "50") == 2
    assert "check --token_rate" in capsys.readouterr().err
