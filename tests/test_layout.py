"""The layout's closed form against the definition's loop, over many sizes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.layout import Arrangement, Layout
from tests.debug import debug_config
from tests.oracles import interleave

chunks = st.one_of(st.just((None, None)), st.tuples(st.integers(1, 6), st.integers(1, 8)))  # (n, m)
samples = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 40)), min_size=1, max_size=4)


def order_of(arrangement: Arrangement, row: int, longest_text: int) -> list[tuple[str, int]]:
    """The inputs of one sample as `interleave` writes them."""
    source = arrangement.source[row, : arrangement.length[row]].tolist()
    return [("text", i) if i < longest_text else ("speech", i - longest_text) for i in source]


def arrange(chunk: tuple[int | None, int | None], lengths: list[tuple[int, int]]) -> Arrangement:
    num_tokens, num_frames = torch.tensor(lengths).T
    return Layout(*chunk).arrange(num_tokens, num_frames)


@given(chunks, samples)
def test_every_sample_is_arranged_as_defined(chunk, lengths):
    arrangement = arrange(chunk, lengths)
    longest_text = max(num_tokens for num_tokens, _ in lengths)
    for row, (num_tokens, num_frames) in enumerate(lengths):
        expected = interleave(*chunk, num_tokens, num_frames)
        assert order_of(arrangement, row, longest_text) == expected


@given(chunks, samples)
def test_a_frame_is_predicted_by_the_position_before_it(chunk, lengths):
    arrangement = arrange(chunk, lengths)
    for row, (num_tokens, num_frames) in enumerate(lengths):
        order = interleave(*chunk, num_tokens, num_frames)
        before = [order.index(("speech", t)) - 1 for t in range(num_frames)]
        last_frame = order.index(("speech", num_frames - 1))
        predictor = arrangement.predictor[row][arrangement.predicts[row]]
        assert predictor.tolist() == [*before, last_frame]


@given(chunks, samples)
def test_padding_holds_nothing_and_predicts_nothing(chunk, lengths):
    arrangement = arrange(chunk, lengths)
    num_frames = torch.tensor(lengths)[:, 1]
    assert arrangement.length.tolist() == [sum(sizes) for sizes in lengths]
    assert arrangement.predicts.sum(1).equal(num_frames + 1)
    assert (arrangement.predictor[~arrangement.predicts] == 0).all()
    for row, length in enumerate(arrangement.length):
        assert (arrangement.source[row, length:] == 0).all()


@given(chunks, st.integers(1, 30), st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_segments_replay_the_same_order_in_any_strides(chunk, num_tokens, strides):
    layout, order = Layout(*chunk), []
    tokens_read = frames_read = 0
    for stride in strides:
        until = frames_read + stride
        for segment in layout.segments(
            tokens_read=tokens_read,
            frames_read=frames_read,
            until_frame=until,
            num_tokens=num_tokens,
        ):
            kind = "text" if segment.is_text else "speech"
            order += [(kind, i) for i in range(segment.start, segment.stop)]
            tokens_read = segment.stop if segment.is_text else tokens_read
        frames_read = until
    # What precedes frame `frames_read` does not depend on how much speech follows it.
    endless = interleave(*chunk, num_tokens, frames_read + 500)
    assert order == endless[: endless.index(("speech", frames_read))]


@pytest.mark.parametrize(
    ("n", "m", "num_tokens", "num_frames", "drawn"),
    [
        (None, None, 3, 4, "TTTSSSS"),
        (2, 3, 5, 8, "TTSSSTTSSSTSS"),
        (2, 3, 7, 5, "TTSSSTTSSTTT"),  # speech ends first: the text left over comes last
        (2, 3, 1, 7, "TSSSSSSS"),
        (5, 45, 2, 3, "TTSSS"),
    ],
)
def test_layouts_at_a_glance(n, m, num_tokens, num_frames, drawn):
    arrangement = arrange((n, m), [(num_tokens, num_frames)])
    order = order_of(arrangement, 0, num_tokens)
    assert "".join(kind[0].upper() for kind, _ in order) == drawn


def test_text_without_words_leaves_no_gaps():
    """Dropped text is one token; all frames follow it, in both layouts alike."""
    streaming, offline = arrange((5, 45), [(1, 200)]), arrange((None, None), [(1, 200)])
    assert streaming.source.equal(offline.source)
    assert streaming.predictor.equal(offline.predictor)


@pytest.mark.parametrize("chunk", [(None, 4), (3, None), (0, 4), (3, 0), (-1, 4)])
def test_impossible_chunks_are_refused(chunk):
    with pytest.raises(ValueError, match="chunk"):
        Layout(*chunk)


def test_the_configuration_names_the_layout():
    assert Layout.from_config(debug_config()).is_offline
    assert Layout.from_config(debug_config(stream_n=5, stream_m=45)) == Layout(5, 45)
