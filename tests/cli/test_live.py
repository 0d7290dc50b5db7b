"""`sled stream`: its audio, its report, and its errors."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.cli.live import describe_timeline
from sled.decoding import DecodingOptions
from sled.files.audio import AudioWriter
from sled.simulation.client import Timeline, converse
from sled.simulation.pacing import release, schedule
from sled.tts import TTS
from tests.commands import ROOT, run, run_process
from tests.debug import HOP, SAMPLE_RATE, debug_checkpoint, debug_waveform

SPEAK = ("--input", "four two seven one nine", "--min_frames", 30, "--max_length", 200, "--cfg", 2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    return debug_checkpoint(folder / "stream", stream_n=2, stream_m=8, max_frames_per_token=2.0)


def test_text_is_fed_at_the_speed_of_writing_while_audio_comes(checkpoint):
    """Audio arrives before the last word is fed."""
    tts = TTS.from_pretrained(checkpoint)
    words = ["four ", "two ", "seven ", "one ", "nine"]
    heard: list[np.ndarray] = []
    with tts.open_session() as session:
        timeline = converse(session, release(schedule(words, 10.0)), [heard.append])
    assert [len(piece) for piece in heard] == [samples for _, samples in timeline.chunks]
    assert 0.35 < timeline.last_text_s - timeline.first_text_s < 5
    assert timeline.chunks[0][0] < timeline.last_text_s
    expected = tts.say("".join(words))
    np.testing.assert_allclose(np.concatenate(heard), expected.audio, atol=1e-5)


def test_the_report_is_short_and_in_order_and_the_file_holds_all_audio(
    checkpoint, tmp_path, capsys
):
    output = tmp_path / "out.wav"
    flags = ("--model_name_or_path", checkpoint, "--tokens_per_second", 40, "--output", output)
    assert run("stream", *SPEAK, *flags) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert len(lines) == 7
    times = [float(line.split()[0]) for line in lines[:4]]
    assert times == sorted(times)
    assert "a player would" in lines[4]
    assert "real-time factor" in lines[5]
    assert lines[6].startswith(f"{output}: ")
    assert len(soundfile.read(output)[0]) >= 30 * HOP


@pytest.mark.parametrize(
    ("timeline", "lines"),
    [
        (
            Timeline(0.0, 0.3, [(0.2, 2400), (0.25, 4800), (0.5, 2400)]),
            [
                "   0.00 s  first text",
                "   0.20 s  first audio, 0.20 s after the first text",
                "   0.30 s  text complete",
                "   0.50 s  audio complete, chunks: 3",
                "a player would not have stalled",
            ],
        ),
        (
            Timeline(0.1, 0.1, [(0.6, 2400), (0.9, 2400)]),
            [
                "   0.10 s  first text",
                "   0.10 s  text complete",
                "   0.60 s  first audio, 0.50 s after the first text",
                "   0.90 s  audio complete, chunks: 2",
                "a player would have stalled for 0.20 s (gaps: 1)",
            ],
        ),
        (
            Timeline(0.0, 0.0, [(1.0, 2400)]),
            [
                "   0.00 s  first text",
                "   0.00 s  text complete",
                "   1.00 s  first audio, 1.00 s after the first text",
                "   1.00 s  audio complete, chunks: 1",
                "a player would not have stalled",
            ],
        ),
    ],
)
def test_times_are_reported_in_the_order_in_which_things_happened(timeline, lines):
    assert describe_timeline(timeline, 24_000) == lines


def test_with_output_dash_standard_output_has_samples_only(checkpoint, tmp_path):
    """A player at the other end of a pipe takes all bytes for audio."""
    output = tmp_path / "out.wav"
    flags = ("--model_name_or_path", str(checkpoint))
    assert run("stream", *SPEAK, *flags, "--output", output) == 0
    done = run_process("stream", *SPEAK, *flags, "--output", "-", cwd=tmp_path, binary=True)
    assert done.returncode == 0
    samples = np.frombuffer(done.stdout, "<i2") / 32767
    spoken = TTS.from_pretrained(checkpoint).say(
        SPEAK[1], seed=42, options=DecodingOptions(min_frames=30, max_length=200)
    )
    np.testing.assert_allclose(samples, np.clip(spoken.audio, -1, 1), atol=1e-3)
    np.testing.assert_allclose(soundfile.read(output)[0], samples, atol=1e-3)


def test_audio_made_before_an_interruption_is_in_the_file(
    checkpoint, tmp_path, monkeypatch, capsys
):
    """A long text may have been spoken for an hour."""
    written = AudioWriter.write

    def interrupt(file: AudioWriter, waveform: np.ndarray) -> None:
        written(file, waveform)
        raise KeyboardInterrupt

    monkeypatch.setattr(AudioWriter, "write", interrupt)
    output = tmp_path / "out.wav"
    assert run("stream", *SPEAK, "--model_name_or_path", checkpoint, "--output", output) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]
    assert len(soundfile.read(output)[0]) > 0


def test_an_error_of_the_text_source_is_raised_to_the_reader(checkpoint):
    """The reader does not wait for text that will not come."""

    def pieces() -> Iterator[str]:
        yield "four two "
        raise ConnectionError("lost")

    with (
        TTS.from_pretrained(checkpoint).open_session() as session,
        pytest.raises(ConnectionError, match="lost"),
    ):
        converse(session, pieces())


def test_each_reading_has_another_seed(checkpoint, tmp_path):
    flags = ("--model_name_or_path", checkpoint, "--output", tmp_path / "out.wav")
    assert run("stream", *SPEAK, *flags, "--num_return_sequences", 2, "--seed", 5) == 0
    first, second = (soundfile.read(tmp_path / f"out-{n}.wav")[0] for n in (1, 2))
    assert not np.array_equal(first, second)


def test_a_voice_file_gives_the_same_speech_as_its_recording(checkpoint, tmp_path, capsys):
    recording, voice = tmp_path / "voice.wav", tmp_path / "voice.safetensors"
    soundfile.write(recording, debug_waveform(0.6), SAMPLE_RATE)
    named = ("--model_name_or_path", checkpoint)
    prompt = ("--prompt_audio", recording, "--prompt_text", "one")
    assert run("voices make", *named, *prompt, "--output", voice) == 0
    # Its silence at both ends is that of training.
    assert "a voice of 0.8 s" in capsys.readouterr().out
    for output, who in ((tmp_path / "a.wav", prompt), (tmp_path / "b.wav", ("--voice", voice))):
        assert run("stream", *SPEAK, *named, *who, "--output", output) == 0
    ours, theirs = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in "ab")
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("made_for", ["offline", "stream"])
def test_a_voice_file_speaks_in_both_layouts(made_for, checkpoint, tmp_path, capsys):
    """The speech is that of the recording, whichever layout the file was made for."""
    recording, voice = tmp_path / "voice.wav", tmp_path / "voice.safetensors"
    soundfile.write(recording, debug_waveform(0.3), SAMPLE_RATE)
    named = ("--model", checkpoint)
    prompt = ("--prompt_audio", recording, "--prompt_text", "one")
    assert run("voices make", *named, *prompt, "--layout", made_for, "--output", voice) == 0
    assert run("voices list", voice) == 0
    assert f'"one", {made_for}' in capsys.readouterr().out

    def speech(command: str, *flags: object) -> np.ndarray:
        assert run(command, *SPEAK, *named, *flags, "--output", tmp_path / "out.wav") == 0
        samples: np.ndarray = soundfile.read(tmp_path / "out.wav")[0]
        return samples

    offline, streaming = speech("clone", *prompt), speech("stream", *prompt)
    for command, expected in (("speak", offline), ("clone", offline), ("stream", streaming)):
        np.testing.assert_allclose(speech(command, "--voice", voice), expected, atol=1e-4)


def test_voices_are_listed_with_their_transcripts_as_they_were_given(tmp_path, capsys):
    """Not as they are normalised for the model."""
    model = debug_checkpoint(tmp_path / "model", text_normalization="english")
    soundfile.write(tmp_path / "voice.wav", debug_waveform(0.3), SAMPLE_RATE)
    prompt = ("--prompt_audio", tmp_path / "voice.wav", "--prompt_text", "No. 4!")
    voice = tmp_path / "voice.safetensors"
    made = ("--model", model, *prompt, "--layout", "offline", "--output", voice)
    assert run("voices make", *made) == 0
    assert TTS.from_pretrained(model).load_voice(voice).text != "No. 4!"
    assert run("voices list", voice) == 0
    assert '"No. 4!", offline' in capsys.readouterr().out


def test_a_mistyped_voice_file_is_suggested_before_anything_is_loaded(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "alice.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    for command in ("speak", "stream", "clone"):
        assert run(command, "one", "--model", "/no/such", "--voice", "alise.safetensors") == 2
        assert "(did you mean alice.safetensors?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--tokens_per_second", 0), "give a rate above 0"),
        (("--voice", "none.safetensors"), "no voice file"),
        (("--voice", "a", "--prompt_text", "b"), "exclude each other"),
        (("--prompt_text", "b"), "--prompt_audio is missing"),
    ],
)
def test_bad_flags_are_refused_in_one_line(checkpoint, flags, word, tmp_path, capsys):
    output = tmp_path / "out.wav"
    named = ("--model_name_or_path", checkpoint, "--output", output)
    assert run("stream", *SPEAK, *named, *flags) == 2
    stderr = capsys.readouterr().err
    assert word in stderr
    assert stderr.count("\n") == 1
    assert not output.exists()


def test_playing_without_a_player_is_refused(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    named = ("--model_name_or_path", checkpoint, "--output", tmp_path / "out.wav")
    assert run("stream", *SPEAK, *named, "--play") == 2
    assert "[play]'" in capsys.readouterr().err


def test_standard_input_is_spoken_as_it_arrives(checkpoint, tmp_path):
    """Audio comes while the pipe is open; the end of the pipe is the end of the text."""
    flags = ["--model", checkpoint, *SPEAK[2:], "--max_start_delay_s", 0, "-", "--output", "-"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "sled", "stream", *map(str, flags)],
        bufsize=0,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"four two seven ")
        process.stdin.flush()
        first = process.stdout.read(2)  # waits for it
        rest, report = process.communicate(b"one nine")
    assert process.returncode == 0, report
    assert len(first) == 2
    output = tmp_path / "out.wav"
    assert run("stream", *SPEAK, "--model", checkpoint, "--output", output) == 0
    ours, (theirs, _) = np.frombuffer(first + rest, "<i2"), soundfile.read(output, dtype="int16")
    assert len(ours) == len(theirs) > HOP
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_blank_standard_input_is_refused(checkpoint, tmp_path, monkeypatch, capsys):
    (tmp_path / "blank").write_text(" \n")
    with (tmp_path / "blank").open() as blank:
        monkeypatch.setattr("sys.stdin", blank)
        status = run("stream", "--model", checkpoint, "-", "-o", tmp_path / "out.wav")
    assert status == 2
    assert "blank" in capsys.readouterr().err


def test_the_time_of_computing_does_not_count_waiting_for_text(checkpoint):
    tts = TTS.from_pretrained(checkpoint)
    start = time.perf_counter()
    with tts.open_session() as session:
        time.sleep(0.1)
        assert tts.engine.busy_s == 0
        session.feed("four two seven")
        session.flush()
        assert sum(map(len, session)) > 0
    assert 0 < tts.engine.busy_s <= time.perf_counter() - start - 0.1
