"""Files of marks: the times of words, and subtitles that FFmpeg reads."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from sled import TTS
from sled.cli.marks_file import LINE_CHARS, LONGEST_S, make_cues, write_marks_file
from sled.streaming.marks import Mark
from tests.commands import run

TEXT = (
    "Dr. No paid $5 million for <it> & left. When the rain had stopped, we walked down to the "
    "harbour, where the boats were coming in, and bought some fish from an old man."
)
ITEMS = ("$5 million",)  # written as one item, so that it has one mark


def marks_of(text: str) -> list[Mark]:
    """Every word takes 0.3 s; after a sentence there is a pause of 0.2 s."""
    marks, place, time_s = [], 0, 0.1
    while place < len(text):
        item = next((one for one in ITEMS if text.startswith(one, place)), None)
        word = item or text[place:].split(maxsplit=1)[0]
        marks.append(Mark(word, time_s, time_s + 0.3, place, place + len(word)))
        time_s += 0.5 if word == "left." else 0.3
        place += len(word) + 1
    return marks


def read_subtitles(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as file:
        stream = file.streams.subtitles[0]
        packets = [one for one in file.demux(stream) if one.size]
        return [
            (
                float(one.pts * one.time_base),
                float((one.pts + one.duration) * one.time_base),
                bytes(one).decode(),
            )
            for one in packets
        ]


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_ffmpeg_reads_the_subtitles(suffix: str, tmp_path: Path) -> None:
    marks = marks_of(TEXT)
    path = tmp_path / f"speech{suffix}"
    write_marks_file(path, TEXT, marks)
    read = read_subtitles(path)
    cues = make_cues(TEXT, marks)
    times = [(start, end) for start, end, _ in read]
    np.testing.assert_allclose(times, [(cue.start_s, cue.end_s) for cue in cues], atol=1e-3)
    said = " ".join(text for _, _, text in read).split()
    said = [word.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for word in said]
    assert said == TEXT.split()


def test_subtitles_are_short_and_end_with_sentences() -> None:
    cues = make_cues(TEXT, marks_of(TEXT))
    assert cues[0].text == "Dr. No paid $5 million for <it> & left."
    for cue in cues:
        lines = cue.text.split("\n")
        assert len(lines) <= 2 and max(map(len, lines)) <= LINE_CHARS
        assert 0 < cue.end_s - cue.start_s <= LONGEST_S
    assert all(one.end_s <= other.start_s for one, other in zip(cues, cues[1:], strict=False))


def test_words_that_are_not_said_have_no_subtitle() -> None:
    marks = [one for one in marks_of("four two seven") if one.text != "two"]
    assert [cue.text for cue in make_cues("four two seven", marks)] == ["four seven"]
    assert make_cues("four", []) == []


def test_speak_writes_the_marks_of_each_reading(tmp_path: Path) -> None:
    flags = ("--model", "digits", "--num_return_sequences", 2, "--seed", 7)
    files = ("--output", tmp_path / "out.wav", "--marks", tmp_path / "out.json")
    assert run("speak", "four two", *flags, *files) == 0
    speech = TTS.from_pretrained("digits").synthesize(["four two"] * 2, seeds=7)
    for number, one in enumerate(speech, 1):
        written = json.loads((tmp_path / f"out-{number}.json").read_text())
        assert written == [mark.as_dict() for mark in one.marks]
        assert [mark["text"] for mark in written] == ["four", "two"]
