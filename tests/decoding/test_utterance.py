"""A row lines up its inputs as the layout defines, however its text and speech arrive."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.decoding.row import Input, Row
from sled.model.layout import Layout
from tests.oracles import interleave

chunks = st.one_of(st.just((None, None)), st.tuples(st.integers(1, 6), st.integers(1, 8)))  # (n, m)
# Pieces of text, and of speech: how many tokens or frames come at once.
pieces = st.lists(st.integers(0, 7), max_size=8)


def order_of(inputs: list[Input]) -> list[tuple[str, int]]:
    """What the inputs are: token j is the number j, frame t is filled with t."""
    return [
        ("text", item) if isinstance(item, int) else ("speech", int(item[0])) for item in inputs
    ]


@given(chunks, pieces, st.integers(0, 40), st.integers(0, 12), st.randoms(use_true_random=False))
def test_text_and_speech_in_any_pieces_make_the_order_of_the_layout(
    chunk, text, num_frames, prompt_frames, random
):
    """A row writes whenever it can, or later; its order is that of the finished sequence."""
    frames = [torch.tensor([t]) for t in range(num_frames + prompt_frames)]
    row = Row(Layout(*chunk), [0], False, frames[:prompt_frames])
    waiting, fed = list(text), 1
    order: list[Input] = []
    while not row.text_ended or (row.is_ready and row.num_frames < len(frames)):
        if row.is_ready and row.num_frames < len(frames) and random.random() < 0.8:
            row.unread, read = [], [*row.unread]
            order += read
            row.append_frames(frames[row.num_frames], 1)
        elif not row.text_ended:
            count = waiting.pop() if waiting else 0
            row.add_text(range(fed, fed + count), ended=not waiting)
            fed += count
    assert row.is_ready
    endless = interleave(*chunk, fed, len(frames) + 500)
    order += row.unread
    assert order_of(order) == endless[: endless.index(("speech", len(frames)))]


@given(chunks, st.integers(1, 30))
def test_a_row_waits_for_just_the_text_that_the_layout_puts_next(chunk, num_tokens):
    layout = Layout(*chunk)
    row = Row(layout, range(num_tokens), False, [])
    due = layout.text_chunk or float("inf")
    assert row.is_ready == (num_tokens >= due)
    assert not row.has_read_text
    row.add_text([], ended=True)
    assert row.is_ready
    assert row.has_read_text == (num_tokens <= due)


def test_a_copy_goes_its_own_way():
    row = Row(Layout(2, 3), [0, 1, 2], False, [torch.zeros(1)] * 7)
    other = row.copy()
    before = order_of(row.unread)
    other.add_text([3, 4, 5, 6, 7], ended=True)
    other.append_frames(torch.ones(1), 1)
    other.unread.clear()
    assert order_of(row.unread) == before
    assert row.token_ids == [0, 1, 2]
    assert not row.is_ready
    row.add_text([3, 4, 5, 6, 7], ended=True)
    assert row.is_ready
