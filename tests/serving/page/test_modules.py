"""Modules of the page that compute, run in the browser and held against other programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soxr

from tests.serving.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RATE = 24_000


@pytest.fixture(scope="module")
def module(browser: Browser, served: Running) -> Iterator[Callable[..., Any]]:
    """Runs an expression of a module's names."""
    page = browser.new_page()
    page.goto(f"{served.url}/page/icon.svg")

    def run(name: str, expression: str, argument: Any = None) -> Any:
        script = f"async (given) => {{ const m = await import('/page/{name}'); {expression} }}"
        return page.evaluate(script, argument)

    yield run
    page.close()


def resample(module: Any, samples: np.ndarray, to: int, pieces: list[int]) -> np.ndarray:
    script = """
        const resampler = new m.Resampler(24000, given.to);
        const output = [];
        let at = 0;
        for (const size of [...given.pieces, given.samples.length]) {
          output.push(...resampler.process(Float32Array.from(given.samples.slice(at, at + size))));
          at += size;
        }
        output.push(...resampler.flush());
        return output;"""
    given = {"samples": samples.tolist(), "to": to, "pieces": pieces}
    return np.asarray(module("resampler.js", script, given))


@pytest.mark.parametrize("to", [48_000, 44_100, 24_000, 16_000])
def test_resampling_agrees_with_soxr_however_the_stream_is_cut(module: Any, to: int) -> None:
    """Within the passband of both; noise, so that every frequency counts."""
    random = np.random.default_rng(1)
    samples = soxr.resample(random.normal(0, 0.1, 2000), 12_000, RATE)
    whole = resample(module, samples, to, [])
    cut = resample(module, samples, to, [1, 7, 320, 0, 500, 13])
    assert len(whole) == len(cut) == -(-len(samples) * to // RATE)
    assert np.abs(whole - cut).max() < 1e-6
    expected = soxr.resample(samples, RATE, to, quality="VHQ")
    inner = slice(200, min(len(expected), len(whole)) - 200)
    error = whole[inner] - expected[inner]
    assert 10 * np.log10(np.mean(error**2) / np.mean(expected[inner] ** 2)) < -55


@pytest.mark.parametrize(("to", "hz"), [(44_100, 11_000), (48_000, 3000), (16_000, 9000)])
def test_resampling_adds_no_mirror_tones(module: Any, to: int, hz: float) -> None:
    """What lies above the lower half of a rate is gone, and nothing comes in its place."""
    samples = 0.5 * np.sin(2 * np.pi * hz * np.arange(6000) / RATE)
    output = resample(module, samples, to, [])[500:-500]
    spectrum = np.abs(np.fft.rfft(output * np.kaiser(len(output), 14))) / len(output)
    near = np.abs(np.fft.rfftfreq(len(output), 1 / to) - hz) < 200
    assert 20 * np.log10(spectrum[~near].max() / 0.25) < -70


def test_the_transform_is_that_of_numpy(module: Any) -> None:
    real, imaginary = np.random.default_rng(2).normal(size=(2, 256))
    script = """
        const [real, imaginary] = given.map((part) => Float64Array.from(part));
        m.transform(real, imaginary);
        return [Array.from(real), Array.from(imaginary)];"""
    got = module("spectrum.js", script, [real.tolist(), imaginary.tolist()])
    expected = np.fft.fft(real + 1j * imaginary)
    assert np.allclose(np.array(got[0]) + 1j * np.array(got[1]), expected)


@pytest.mark.parametrize("hz", [120, 440, 1000, 3000, 8000])
def test_a_tone_is_brightest_in_its_band(module: Any, hz: int) -> None:
    samples = 0.1 * np.sin(2 * np.pi * hz * np.arange(1024) / RATE)
    script = """
        const mel = new m.MelSpectrum(24000);
        return Array.from(mel.compute(Float32Array.from(given)));"""
    bands = np.array(module("spectrum.js", script, samples.tolist()))
    edges = 2595 * np.log10(1 + np.array([60, 10_000, hz]) / 700)
    expected = (edges[2] - edges[0]) / (edges[1] - edges[0]) * (len(bands) + 1) - 1
    assert abs(np.argmax(bands) - expected) <= 1
    assert module("spectrum.js", script, [0.0] * 1024) == [0.0] * len(bands)


def test_the_tape_keeps_its_last_minutes(module: Any) -> None:
    script = """
        const tape = new m.Tape(100, 3);
        for (let second = 0; second < 50; second += 1) {
          tape.append(Int16Array.from({length: 100}, (_, at) => 100 * second + at));
        }
        tape.append(Int16Array.from([1, 2, 3]));
        tape.truncate(4950);
        tape.append(Int16Array.from([7, 8]));
        return {
          length: tape.length, start: tape.start, blocks: tape.blocks.size,
          end: Array.from(tape.read(4947, 100), (one) => 32768 * one),
          dropped: tape.read(0, 2).length,
        };"""
    tape = module("tape.js", script)
    assert tape["length"] == 4952 and tape["blocks"] <= 5
    assert 5003 - 300 >= tape["start"] > 5003 - 600
    assert tape["end"] == [4947, 4948, 4949, 7, 8]


def test_a_tape_may_be_cut_between_two_samples(module: Any) -> None:
    """Where a player is; appending would never end if there were parts of samples."""
    script = """
        const tape = new m.Tape(100, 3);
        tape.append(Int16Array.from({length: 150}, (_, at) => at));
        tape.truncate(99.7);
        if (!Number.isInteger(tape.length)) return tape.length;
        tape.append(Int16Array.from([7, 8, 9]));
        return Array.from(tape.read(98.4, 1e9), (one) => 32768 * one);"""
    assert module("tape.js", script) == [98, 99, 7, 8, 9]


TURNS = """User: How are you?
Assistant: Fine.

And you?
**User:** Well.
**Assistant**: Good."""


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("Just a text.\nTwo lines.", [("", True, "Just a text.\nTwo lines.")]),
        (
            TURNS,
            [
                ("User", False, "How are you?"),
                ("Assistant", True, "Fine.\n\nAnd you?"),
                ("User", False, "Well."),
                ("Assistant", True, "Good."),
            ],
        ),
        ("You: a\nAI: b", [("You", False, "a"), ("AI", True, "b")]),
        ("Note: this is no turn.", [("", True, "Note: this is no turn.")]),
        (" \n ", []),
    ],
)
def test_turns_of_a_transcript(module: Any, text: str, turns: list[Any]) -> None:
    got = module("transcript.js", "return m.parseTurns(given)", text)
    assert [(one["role"], one["spoken"], one["text"]) for one in got] == turns


@pytest.mark.parametrize("text", ["Hello, world!", "  It’s 12:30 … naïve\n\n日本語 ", "a", ""])
def test_tokens_are_the_text_in_pieces(module: Any, text: str) -> None:
    pieces = module("transcript.js", "return m.tokens(given)", text)
    assert "".join(pieces) == text
    assert all(len(piece.strip()) <= 5 for piece in pieces)


# (text before, text after, samples heard) -> (text kept, samples kept). Each word of the text
# before is said in 100 samples, and the audio ends 20 samples behind the last one.
@pytest.mark.parametrize(
    ("before", "after", "heard", "kept", "sample"),
    [
        # A slip in a word that is not said yet.
        ("one two thre", "one two the", 150, "one two", 200),
        ("one two", "one too", 50, "one", 100),
        # The silence behind the last word was heard: playback does not go back.
        ("one two thre", "one two the", 215, "one two", 215),
        # A word that was heard: its sentence is said again.
        ("One. Two three", "One. Two four", 320, "One. ", 100),
        ("one two", "none two", 150, "", 0),
        # A word that grows is another word.
        ("one two. Six", "one twofold. Six", 10, "one", 100),
    ],
)
def test_what_is_kept_after_a_correction(
    module: Any, before: str, after: str, heard: int, kept: str, sample: int
) -> None:
    said = 2 if before.endswith("thre") else len(before.split())
    marks, place = [], 0
    for number, word in enumerate(before.split()[:said]):
        place = before.index(word, place)
        bare = len(word.strip("."))
        marks.append(
            {"start": 100 * number, "end": 100 * number + 100, "startChar": place}
            | {"endChar": place + bare, "text": word}
        )
    old = {"text": before, "marks": marks, "length": 100 * said + 20}
    script = """
        const same = m.commonLength(given.old.text, given.after);
        return m.keepUntil(given.old, same, given.after, given.heard);"""
    got = module("corrections.js", script, {"old": old, "after": after, "heard": heard})
    assert (after[: got["char"]], got["sample"]) == (kept, sample)


def test_subtitles(module: Any) -> None:
    text = "Hello there. It is <late>, and the way home is longer than one would think at first."
    marks, place = [], 0
    for number, word in enumerate(text.split()):
        place = text.index(word, place)
        start = RATE * (number * 0.5 + (3600 if number >= 2 else 0))
        marks.append({"start": start, "end": start + RATE * 0.4, "startChar": place})
        marks[-1] |= {"endChar": place + len(word), "text": word}
    script = """
        const cues = m.makeCues(given.text, given.marks, 24000);
        return {cues, srt: m.toSrt(cues), vtt: m.toVtt(cues)};"""
    made = module("subtitles.js", script, {"text": text, "marks": marks})
    assert " ".join(cue["text"] for cue in made["cues"]).split() == text.split()
    assert all(len(line) <= 42 for cue in made["cues"] for line in cue["text"].split("\n"))
    assert made["srt"].startswith(
        "1\n00:00:00,000 --> 00:00:00,900\nHello there.\n\n2\n01:00:01,000"
    )
    assert made["vtt"].startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.900\nHello there.\n\n01:00:01.0"
    )
    assert "It is &lt;late&gt;," in made["vtt"] and "<late>," in made["srt"]


def test_a_subtitle_holds_all_words_of_an_item_with_one_mark(module: Any) -> None:
    text = "It costs $5 million now."
    items = [(0, 2), (3, 8), (9, 19), (20, 23)]
    marks = [
        {"text": text[first:behind], "start": 9600 * at, "end": 9600 * at + 9600}
        | {"startChar": first, "endChar": behind}
        for at, (first, behind) in enumerate(items)
    ]
    script = "return m.makeCues(given.text, given.marks, 24000);"
    (cue,) = module("subtitles.js", script, {"text": text, "marks": marks})
    assert cue == {"start": 0, "end": pytest.approx(1.6), "text": text}


AWKWARD = 'It\'s "quoted", $HOME `x` \\ back; two\nlines & naïve 😀 ${a} %'


def snippet(module: Any, url: str, language: str) -> str:
    script = """
        const body = {input: given.text, voice: 'tiny', speed: 1, seed: 7, response_format: 'mp3'};
        return m[given.language]({base: new URL('v1/', given.url), body, needsKey: false});"""
    return str(module("snippets.js", script, {"url": url, "language": language, "text": AWKWARD}))


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_the_code_of_the_request_runs(
    module: Any, served: Running, language: str, tmp_path: Path
) -> None:
    code = snippet(module, served.url + "/", language)
    commands = {
        "curl": ["bash", "-c", code],
        "python": [sys.executable, "-c", code],
        "javascript": ["node", "--input-type=module", "-e", code],
    }
    command = commands[language]
    if shutil.which("curl" if language == "curl" else command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "speech.mp3").stat().st_size > 1000


def test_the_code_says_exactly_the_text(module: Any, served: Running) -> None:
    """As a shell reads it: the body is one word, and the text is in it unchanged."""
    code = snippet(module, served.url + "/", "curl")
    script = 'curl() { printf "%s" "${5}"; }; ' + code
    body = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(body)["input"] == AWKWARD
