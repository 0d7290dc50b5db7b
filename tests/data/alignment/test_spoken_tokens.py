"""Samples have the spoken token of each frame."""

from pathlib import Path

import pytest
import torch
from lhotse.cut import Cut

from sled.codec import Group, TransformedCodec
from sled.data.alignment.spoken_times import is_letter, with_letters, with_words
from sled.data.dataset import SpeechDataset, collate
from sled.text.tokenizer import TextTokenizer
from tests.debug import HOP, SAMPLE_RATE, debug_codec, debug_cut, debug_tokenizer

FRAME_S = HOP / SAMPLE_RATE
# Nothing is merged: tokens are <s>, the bytes, and </s>.
BYTES = TextTokenizer.train(["x"], 260)


def said(folder: Path, text: str, ends: list[float], num_frames: int) -> Cut:
    """A cut of so many frames whose words end at these frames."""
    path = folder / f"{text.replace(' ', '_')}.wav"
    cut = debug_cut(path, num_frames * FRAME_S, text, speaker="a")
    return with_words(cut, text.split(), [end * FRAME_S for end in ends], [0.0] * len(ends))


def spelt(folder: Path, text: str, ends: list[float], num_frames: int) -> Cut:
    """A cut of so many frames whose letters end at these frames; its words end later."""
    cut = said(folder, text, [ends[-1] + place for place in range(len(text.split()))], num_frames)
    return with_letters(cut, list(filter(is_letter, text)), [end * FRAME_S for end in ends])


def spoken(*cuts: Cut, tokenizer: TextTokenizer = BYTES, frames: int = 1) -> list[int]:
    """The token of each frame of joined cuts."""
    codec = debug_codec() if frames == 1 else TransformedCodec(debug_codec(), [Group(frames)])
    dataset = SpeechDataset(tokenizer, codec, join_share=1.0, with_spoken_tokens=True)
    (sample,) = dataset.__getitems__(cuts)
    return sample["spoken_tokens"].tolist()


def test_characters_of_a_word_last_equally_long(tmp_path):
    """Tokens 1 2, a space, 4 5 6; the silence after the last word belongs to </s>."""
    assert spoken(said(tmp_path, "no two", [4.5, 7.5], num_frames=9)) == [1, 1, 2, 2, 4, 5, 6, 7, 7]


def test_letters_last_as_long_as_is_known(tmp_path):
    """Times of letters take precedence over times of words."""
    cut = spelt(tmp_path, "no two", [0.5, 3.5, 5.5, 6.5, 7.5], num_frames=9)
    assert spoken(cut) == [2, 2, 2, 4, 4, 5, 6, 7, 7]


def test_a_token_has_the_time_of_all_its_characters(tmp_path):
    tokenizer = debug_tokenizer()
    ids = tokenizer.encode("four two")
    assert len(ids) == 4  # each word is a token
    frames = spoken(said(tmp_path, "four two", [2.5, 5.5], num_frames=7), tokenizer=tokenizer)
    assert frames == [1, 1, 2, 2, 2, 3, 3]
    by_letters = spelt(tmp_path, "four two", [0.5, 1, 2, 3.5, 4, 5, 5.5], num_frames=7)
    assert spoken(by_letters, tokenizer=tokenizer) == [1, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("text", ["one", "hello, you", "日本 語"])
def test_every_word_is_said_while_it_lasts(text, tmp_path):
    """One byte of a character stands for all of its bytes."""
    words = text.split()
    ends = [10 * (index + 1) + 0.5 for index in range(len(words))]
    frames = spoken(said(tmp_path, text, ends, num_frames=10 * len(words) + 1))
    last = 0
    for index, word in enumerate(words):
        mine = sorted(set(frames[10 * index : 10 * index + 10]))
        first = last + 1 + (index > 0)  # and the space
        last = first + len(word.encode()) - 1
        assert mine[0] == first and mine[-1] <= last
        assert len(mine) == len(word)


def test_what_is_no_letter_is_passed_with_the_letter_before_it(tmp_path):
    """An apostrophe, a comma, a stress mark (two bytes) and a dash take no time."""
    cut = spelt(tmp_path, "I'm, ˈa - b.", [1.5, 2.5, 4.5, 5.5], num_frames=7)
    frames = spoken(cut)
    ids = BYTES.encode("I'm, ˈa - b.")
    heard = [BYTES.encode(letter)[1] for letter in "Imaab"]
    assert [ids[frame] for frame in frames] == [*heard, ids[-1], ids[-1]]


def test_letters_of_another_text_are_not_used(tmp_path):
    """The times of its words are used, if there are as many."""
    cut = spelt(tmp_path, "no", [0.5, 2.5], num_frames=4)
    cut.supervisions[0].text = "yes"
    assert spoken(cut) == spoken(said(tmp_path, "yes", [2.5], num_frames=4))


def test_joined_cuts_count_on(tmp_path):
    """The silence at the end of the first cut belongs to the space before the second."""
    first = said(tmp_path, "no", [2.5], num_frames=3)
    assert spoken(first, said(tmp_path, "two", [3.5], num_frames=4)) == [1, 2, 3, 4, 5, 6, 7]


def test_so_do_joined_cuts_with_letters(tmp_path):
    first = spelt(tmp_path, "no.", [0.5, 2.5], num_frames=3)
    second = spelt(tmp_path, "two", [1.5, 2.5, 3.5], num_frames=4)
    assert spoken(first, second) == [2, 2, 4, 5, 6, 7, 8]


def test_the_end_of_a_group_decides(tmp_path):
    cut = said(tmp_path, "four two", [3, 5], num_frames=8)
    assert spoken(cut, tokenizer=debug_tokenizer(), frames=4) == [2, 3]


def test_unknown_times_leave_the_others_known(tmp_path):
    """There are no times, or those of other words."""
    known = said(tmp_path, "no", [2.5], num_frames=3)
    unknown = debug_cut(tmp_path / "a_b.wav", 2 * FRAME_S, "a b", speaker="a")
    assert spoken(unknown, known) == [-1, -1, 5, 6, 7]
    other = said(tmp_path, "nine", [1], num_frames=2)
    other.supervisions[0].text = "a b"
    assert spoken(other, known) == [-1, -1, 5, 6, 7]


def test_a_batch_is_padded_with_what_is_not_known(tmp_path):
    dataset = SpeechDataset(BYTES, debug_codec(), with_spoken_tokens=True)
    cuts = [said(tmp_path, "no two", [4.5, 7.5], 9), said(tmp_path, "no", [2.5], 3)]
    batch = collate(dataset.__getitems__(cuts))
    assert batch["spoken_tokens"][1].tolist() == [1, 2, 3] + [-1] * 6
    assert batch["spoken_tokens"].dtype == torch.int64
    assert "spoken_tokens" not in collate(SpeechDataset(BYTES, debug_codec()).__getitems__(cuts))
