"""Samples may tell which word each of their tokens and frames belongs to."""

from pathlib import Path

import pytest
import torch
from lhotse.cut import Cut

from sled.codec import GroupedCodec
from sled.data.dataset import SpeechDataset, collate
from sled.data.word_times import with_words
from tests.debug import HOP, SAMPLE_RATE, debug_codec, debug_cut, debug_tokenizer

FRAME_S = HOP / SAMPLE_RATE


def said(folder: Path, text: str, ends: list[float], num_frames: int) -> Cut:
    """A cut of so many frames whose words end at these frames."""
    path = folder / f"{text.replace(' ', '_')}.wav"
    cut = debug_cut(path, num_frames * FRAME_S, text, speaker="a")
    return with_words(cut, text.split(), [end * FRAME_S for end in ends], [0.0] * len(ends))


def words_of(*cuts: Cut, frames: int = 1, **settings: float) -> tuple[list[int], list[int]]:
    """The words of the tokens, and of the frames, of cuts that are joined."""
    codec = debug_codec() if frames == 1 else GroupedCodec(debug_codec(), frames)
    dataset = SpeechDataset(debug_tokenizer(), codec, join_share=1.0, with_words=True, **settings)
    (sample,) = dataset.__getitems__(cuts)
    return sample["token_words"].tolist(), sample["frame_words"].tolist()


def test_silence_after_the_last_word_belongs_to_the_end_of_the_text(tmp_path):
    tokens, frames = words_of(said(tmp_path, "four two", [2, 5], num_frames=7))
    assert frames == [0, 0, 1, 1, 1, 2, 2]
    assert (tokens[0], tokens[-1]) == (-1, 2)
    assert tokens[1:-1] == sorted(tokens[1:-1])
    assert set(tokens[1:-1]) == {0, 1}


@pytest.mark.parametrize("text", ["one", "four two, seven", "two  spaces ", "日本 語"])
def test_tokens_of_a_word_spell_it(text):
    tokenizer = debug_tokenizer()
    ids, words = tokenizer.encode(text), tokenizer.token_words(text)
    spelt = [
        tokenizer.decode([one for one, word in zip(ids, words, strict=True) if word == index])
        for index in range(len(text.split()))
    ]
    assert [word.strip() for word in spelt] == text.split()


def test_joined_cuts_count_on(tmp_path):
    """The end of the first is where the second begins."""
    first = said(tmp_path, "four two", [2, 5], num_frames=7)
    tokens, frames = words_of(first, said(tmp_path, "one", [2], num_frames=3))
    assert frames == [0, 0, 1, 1, 1, 2, 2, 2, 2, 3]
    assert max(tokens) == 3


def test_the_middle_of_a_group_decides(tmp_path):
    _, frames = words_of(said(tmp_path, "four two", [3, 5], num_frames=8), frames=4)
    assert frames == [0, 2]


def test_unknown_words_leave_the_others_known(tmp_path):
    """No times at all, or those of other words."""
    known = said(tmp_path, "four two", [2, 5], num_frames=7)
    unknown = debug_cut(tmp_path / "seven.wav", 2 * FRAME_S, "seven one", speaker="a")
    assert words_of(unknown, known)[1] == [-1, -1, 2, 2, 3, 3, 3, 4, 4]
    other = said(tmp_path, "nine", [1], num_frames=2)
    other.supervisions[0].text = "nine nine"
    assert words_of(other, known)[1][:2] == [-1, -1]


def test_a_batch_is_padded_with_what_belongs_to_no_word(tmp_path):
    dataset = SpeechDataset(debug_tokenizer(), debug_codec(), with_words=True)
    cuts = [said(tmp_path, "four two", [2, 5], 7), said(tmp_path, "one", [2], 3)]
    batch = collate(dataset.__getitems__(cuts))
    assert batch["token_words"].shape == batch["input_ids"].shape
    assert batch["frame_words"][1].tolist() == [0, 0, 1, -1, -1, -1, -1]
    assert (batch["token_words"][1] == -1).equal(
        (batch["attention_mask"][1] == 0) | (torch.arange(batch["token_words"].shape[1]) == 0)
    )
