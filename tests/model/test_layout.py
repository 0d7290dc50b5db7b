"""The closed form of the layout against the loop that defines it, for many sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.model.layout import Layout
from tests.debug import debug_config
from tests.oracles import interleave

chunks = st.one_of(st.just((None, None)), st.tuples(st.integers(1, 6), st.integers(1, 8)))  # (n, m)
samples = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 40)), min_size=1, max_size=4)


def arrange(
    chunk: tuple[int | None, int | None], sizes: list[tuple[int, int]]
) -> tuple[list[list[tuple[str, int]]], list[list[int]]]:
    """For each sample (L, T), its inputs in the form of `interleave`, and its predictors."""
    num_tokens, num_frames = (list(counts) for counts in zip(*sizes, strict=True))
    arrangement = Layout(*chunk).arrange(num_tokens, num_frames)
    assert arrangement.lengths == [sum(size) for size in sizes]
    inputs = [("text", j) for count in num_tokens for j in range(count)]
    inputs += [("speech", t) for count in num_frames for t in range(count)]
    orders = [
        [inputs[i] for i in source.tolist()]
        for source in arrangement.source.split(arrangement.lengths)
    ]
    starts = [sum(arrangement.lengths[:row]) for row in range(len(sizes))]
    decisions = [count + 1 for count in num_frames]
    predictors = [
        [position - start for position in predictor.tolist()]
        for predictor, start in zip(arrangement.predictor.split(decisions), starts, strict=True)
    ]
    for is_stop in arrangement.is_stop.split(decisions):
        assert is_stop.tolist() == [False] * (len(is_stop) - 1) + [True]
    assert sorted(arrangement.source.tolist()) == list(range(len(inputs)))  # every input once
    return orders, predictors


@given(chunks, samples)
def test_every_sample_is_arranged_as_defined(chunk, sizes):
    orders, _ = arrange(chunk, sizes)
    assert orders == [interleave(*chunk, *size) for size in sizes]


@given(chunks, samples)
def test_a_frame_is_predicted_by_the_position_before_it_and_the_stop_by_the_last(chunk, sizes):
    orders, predictors = arrange(chunk, sizes)
    for order, predictor, (_, num_frames) in zip(orders, predictors, sizes, strict=True):
        before = [order.index(("speech", t)) - 1 for t in range(num_frames)]
        assert predictor == [*before, order.index(("speech", num_frames - 1))]


@given(chunks, samples)
def test_a_full_chunk_of_speech_ends_where_text_follows(chunk, sizes):
    num_tokens, num_frames = (list(counts) for counts in zip(*sizes, strict=True))
    ours = Layout(*chunk).arrange(num_tokens, num_frames).chunk_ends.tolist()
    expected, start = [], 0
    for order in (interleave(*chunk, *size) for size in sizes):
        for place, (kind, t) in enumerate(order):
            is_full = kind == "speech" and chunk[1] is not None and (t + 1) % chunk[1] == 0
            if is_full and any(later == "text" for later, _ in order[place:]):
                expected.append(start + place)
        start += len(order)
    assert ours == expected


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
    ((order,), _) = arrange((n, m), [(num_tokens, num_frames)])
    assert "".join(kind[0].upper() for kind, _ in order) == drawn


def test_text_without_words_leaves_no_gaps():
    """Dropped text is one token; all frames follow it, in both layouts alike."""
    streaming, offline = arrange((5, 45), [(1, 200)]), arrange((None, None), [(1, 200)])
    assert streaming == offline


@pytest.mark.parametrize("chunk", [(None, 4), (3, None), (0, 4), (3, 0), (-1, 4)])
def test_impossible_chunks_are_refused(chunk):
    with pytest.raises(ValueError, match="chunk"):
        Layout(*chunk)


def test_the_configuration_names_the_layout():
    assert Layout.from_config(debug_config()).is_offline
    assert Layout.from_config(debug_config(stream_n=5, stream_m=45)) == Layout(5, 45)
