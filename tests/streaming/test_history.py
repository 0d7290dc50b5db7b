"""The past of a segment has the token channel that one joined text would give it."""

import pytest
import torch

from sled.codec.transforms import TokenChannel
from sled.streaming.history import History
from sled.streaming.spoken import Spoken
from sled.text.incremental import IncrementalTokenizer
from tests.debug import debug_tokenizer

WIDTH = 8
SEGMENTS = ["one two. ", "seven four nine. ", "three. "]
NEXT = "eight"


def channel() -> TokenChannel:
    return TokenChannel.random(debug_tokenizer().vocab_size, 16, 12.0)


def said_alone(segment: str, past: str) -> Spoken:
    """A segment with three units for each token and two of silence at its end, as it was spoken.

    Tokens are numbered in the text that the model read, and the silence has the channel of `</s>`.
    """
    tokenizer = debug_tokenizer()
    first = max(1, len(IncrementalTokenizer(tokenizer).feed(past)))
    ids = tokenizer.encode(past + segment.strip())  # ends with </s>
    numbers = [number for number in range(first, len(ids) - 1) for _ in range(3)]
    numbers += 2 * [len(ids) - 1]
    silent = torch.zeros(len(numbers), WIDTH + 16)
    units = channel().write(silent, torch.tensor(ids)[numbers], torch.tensor(numbers))
    return Spoken(segment, units, [len(ids) - 1 - number for number in numbers])


def as_in_training(past: list[Spoken], next_text: str) -> torch.Tensor:
    """The channel of joined recordings: a pause belongs to the text behind it."""
    tokenizer = debug_tokenizer()
    ids = tokenizer.encode("".join(one.text for one in past) + next_text)
    numbers, text = [], ""
    for one in past:
        first = max(1, len(IncrementalTokenizer(tokenizer).feed(text)))
        text += one.text
        end = len(IncrementalTokenizer(tokenizer).feed(text))
        numbers += [number for number in range(first, end) for _ in range(3)] + 2 * [end]
    return channel().vectors(torch.tensor(ids)[numbers], torch.tensor(numbers))


@pytest.mark.parametrize("forgotten", [0, 1, 2])
def test_the_channel_is_that_of_the_text_that_is_continued(forgotten):
    past, spoken = "", []
    for segment in SEGMENTS:
        spoken.append(said_alone(segment, past))
        past = segment  # each continued only the one before
    kept = spoken[forgotten:]
    history = History(sum(len(one.units) for one in kept), None)
    for one in spoken:
        history.add(one)
    assert history.text == "".join(SEGMENTS[forgotten:])

    tokenizer = debug_tokenizer()
    tokens = IncrementalTokenizer(tokenizer)
    tokens.feed(history.text)
    (next_token, *_) = [*tokens.feed(NEXT), *tokens.finish()]
    units = history.units(tokenizer, channel(), next_token)
    assert units is not None
    expected = as_in_training(kept, NEXT)
    assert len(units) >= len(expected)  # a word has more tokens with a space before it
    torch.testing.assert_close(units[-len(expected) :, WIDTH:], expected, rtol=0, atol=0)
    assert not units[:, :WIDTH].any()


def test_speech_whose_tokens_are_not_known_is_left_as_it_is():
    units = torch.randn(5, WIDTH + 16, generator=torch.Generator().manual_seed(0))
    history = History(100, None)
    history.add(Spoken("one ", units))
    for codec_channel in (channel(), None):
        torch.testing.assert_close(history.units(debug_tokenizer(), codec_channel, 5), units)
