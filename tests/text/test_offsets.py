"""Spans of a made text lead back to its source."""

from hypothesis import given
from hypothesis import strategies as st

from sled.text.offsets import OffsetMap

# Parts of a made text: their length there, and in the source.
PARTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(PARTS, st.data())
def test_spans_lead_to_the_characters_they_come_from(parts, data):
    offsets, place, sources = OffsetMap(), 0, []
    for length, source in parts:
        offsets.append(length, place, place + source)
        verbatim = length == source
        sources += [
            (place + i, place + i + 1) if verbatim else (place, place + source)
            for i in range(length)
        ]
        place += source
    if sources:
        start = data.draw(st.integers(0, len(sources) - 1))
        end = data.draw(st.integers(start + 1, len(sources)))
        offsets.forget(data.draw(st.integers(0, start)))
        assert offsets.source(start, end) == (sources[start][0], sources[end - 1][1])
