"""Checks of a corpus: accepted utterances can be trained on, rejected ones have a reason."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from lhotse import validate
from lhotse.cut import Cut
from lhotse.serialization import deserialize_item

from sled.data.cache.codes import cut_waveform
from sled.data.corpora.checks import check_item
from sled.data.corpora.items import REMEDIES, Rejected, Utterance
from sled.data.corpora.options import Limits
from tests.debug import debug_waveform

TEXT = "Fourteen letters."
RATE = 16_000
DEFAULT, HEADERS = Limits(), Limits(decode_audio=False)


def tone(seconds: float, sample_rate: int) -> np.ndarray:
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return 0.3 * np.sin(2 * np.pi * 440 * times)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Utterance:
    """A good utterance of one second."""
    path = tmp_path_factory.mktemp("audio") / "clip.wav"
    soundfile.write(path, debug_waveform(1.0, sample_rate=RATE), RATE)
    return Utterance("clip", path, TEXT)


def accept(utterance: Utterance, limits: Limits = DEFAULT, root: Path | None = None) -> Cut:
    """The cut of an utterance that must be accepted, read back from its line."""
    line = check_item(utterance, limits, root or utterance.audio.parent)
    assert isinstance(line, str), line
    assert "\n" not in line
    cut = deserialize_item(json.loads(line))
    validate(cut)
    return cut


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "MP3"])
def test_every_kind_of_file_is_read_as_mono_at_the_rate_asked_for(
    tmp_path: Path, suffix: str, sample_rate: int, channels: int
) -> None:
    path = tmp_path / f"tone.{suffix}"
    samples = np.tile(tone(1.0, sample_rate)[:, None], channels)
    kind = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    soundfile.write(path, samples, sample_rate, **kind)

    cut = accept(Utterance("a", path, TEXT))

    # Resampling is left to the reading: the manifest tells what is in the file.
    assert cut.sampling_rate == sample_rate and not cut.recording.transforms
    waveform = cut_waveform(cut.with_recording_path_prefix(tmp_path), 24_000).numpy()
    assert waveform.shape == (round(24_000 * cut.duration),)
    middle = waveform[6_000:18_000]
    assert np.abs(np.fft.rfft(middle)).argmax() == 220  # 440 Hz in half a second
    assert middle.std() == pytest.approx(0.3 / 2**0.5, rel=0.1)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = tone(1.0, 24_000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, 0 * left], axis=1), 24_000)
    cut = accept(Utterance("a", tmp_path / "a.wav", TEXT), root=tmp_path)
    waveform = cut_waveform(cut.with_recording_path_prefix(tmp_path), 24_000)
    np.testing.assert_allclose(waveform, left / 2, atol=1e-4)


def test_part_of_a_recording(clip: Utterance) -> None:
    part = dataclasses.replace(
        clip, recording_id="whole", text="Half.", start_s=0.25, duration_s=0.5
    )
    cut = accept(part).with_recording_path_prefix(clip.audio.parent)
    whole, _ = soundfile.read(clip.audio, dtype="float32")
    np.testing.assert_array_equal(cut.load_audio()[0], whole[4_000:12_000])
    assert (cut.id, cut.recording.id, cut.supervisions[0].start) == ("clip", "whole", 0.0)


def test_times_that_were_rounded_up_end_with_the_recording(clip: Utterance) -> None:
    assert accept(dataclasses.replace(clip, duration_s=1.04)).duration == 1.0


@given(text=st.text(st.characters(codec="utf-8")))
def test_text_loses_nothing_but_white_space(clip: Utterance, text: str) -> None:
    anything_goes = Limits(min_chars_per_s=0.0, max_chars_per_s=1e9)
    result = check_item(dataclasses.replace(clip, text=text), anything_goes, clip.audio.parent)
    if not text.split():
        assert isinstance(result, Rejected) and result.reason == "empty_text"
    else:
        assert isinstance(result, str)
        assert json.loads(result)["supervisions"][0]["text"] == " ".join(text.split())


def test_decomposed_letters_stay_decomposed(clip: Utterance) -> None:
    text = "cafe\u0301 con leche"
    assert accept(dataclasses.replace(clip, text=text)).supervisions[0].text == text


def test_audio_in_the_folder_of_the_manifest_moves_with_it(clip: Utterance, tmp_path: Path) -> None:
    folder = clip.audio.parent
    inside = accept(clip, root=folder).recording.sources[0].source
    outside = accept(clip, root=tmp_path).recording.sources[0].source
    assert (inside, outside) == ("clip.wav", str(clip.audio))


BAD_VALUES = [
    *(("malformed", {"id": name}) for name in ("", "dir/", "./one", "a//one", "a/./one", "zero\0")),
    ("empty_text", {"text": " \t\u3000"}),
    ("broken_text", {"text": TEXT + "\ud800"}),
    ("broken_text", {"id": "half \udfff"}),
    ("broken_text", {"audio": Path("caf\udce9.wav")}),
    ("broken_text", {"speaker": "ren\udce9"}),
    ("missing_audio", {"audio": Path("none.wav")}),
    ("missing_audio", {"audio": Path("zero\0.wav")}),
    ("missing_audio", {"audio": Path(400 * "long" + ".wav")}),
    ("outside_recording", {"start_s": -0.1}),
    ("outside_recording", {"start_s": 1.0}),
    ("outside_recording", {"start_s": 0.5, "duration_s": 0.6}),
    ("outside_recording", {"start_s": float("nan")}),
    ("outside_recording", {"duration_s": float("nan")}),
    ("outside_recording", {"duration_s": float("inf")}),
    ("outside_recording", {"duration_s": 0.0}),
    ("too_short", {"duration_s": 0.2}),
    ("too_many_characters", {"text": 31 * "a"}),
]


@pytest.mark.parametrize(("reason", "changes"), BAD_VALUES)
def test_bad_values_are_told_apart(clip: Utterance, reason: str, changes: dict) -> None:
    result = check_item(dataclasses.replace(clip, **changes), Limits(), clip.audio.parent)
    assert isinstance(result, Rejected) and result.reason == reason
    assert REMEDIES[reason] in str(result.to_error())


def test_length_and_rate_have_upper_and_lower_bounds(clip: Utterance) -> None:
    wrong = {
        "too_long": Limits(max_duration_s=0.9),
        "too_short": Limits(min_duration_s=1.1),
        "too_many_characters": Limits(max_chars_per_s=15.0),
        "too_few_characters": Limits(min_chars_per_s=17.0),
    }
    for reason, limits in wrong.items():
        result = check_item(clip, limits, clip.audio.parent)
        assert isinstance(result, Rejected) and result.reason == reason


def write_unusable(path: Path) -> None:
    """Audio that is broken in the way its file name says."""
    samples = debug_waveform(1.0, sample_rate=RATE)
    if path.stem == "text":
        path.write_text("not audio")
    elif path.stem == "nothing":
        path.write_bytes(b"")
    elif path.stem == "folder":
        path.mkdir()
    elif path.stem == "silent":
        soundfile.write(path, 0 * samples, RATE)
    elif path.stem == "nan":
        soundfile.write(path, np.full(RATE, np.nan), RATE, subtype="FLOAT")
    elif path.stem == "loud":  # floats with the full scale of 16-bit integers
        soundfile.write(path, 32767 * samples, RATE, subtype="FLOAT")
    elif path.stem == "cut_off":
        soundfile.write(path, samples, RATE)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        soundfile.write(path, samples[: 0 if path.stem == "empty" else None], RATE, format="WAV")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.wav", "unusable_audio"),
        ("nothing.flac", "unusable_audio"),
        ("empty.wav", "unusable_audio"),
        ("folder.wav", "missing_audio"),
        ("cut_off.wav", "unusable_audio"),
        # Lhotse would pass this name to a shell.
        ("$(touch pwned).sph", "unusable_audio"),
    ],
)
def test_the_header_shows_that_a_file_is_no_audio(tmp_path: Path, name: str, reason: str) -> None:
    write_unusable(tmp_path / name)
    result = check_item(Utterance("a", tmp_path / name, TEXT), Limits(), tmp_path)
    assert isinstance(result, Rejected) and result.reason == reason


def test_a_part_of_what_is_left_of_a_recording_can_be_used(tmp_path: Path) -> None:
    write_unusable(tmp_path / "cut_off.wav")
    whole = Utterance("a", tmp_path / "cut_off.wav", "Half.")
    assert accept(dataclasses.replace(whole, duration_s=0.4)).duration == 0.4
    for changes in ({"start_s": 0.1}, {"duration_s": 1.0}):
        result = check_item(dataclasses.replace(whole, **changes), DEFAULT, tmp_path)
        assert isinstance(result, Rejected)


@pytest.mark.parametrize("name", ["silent.wav", "nan.wav", "cut_off.flac", "loud.wav"])
def test_decoding_shows_what_the_header_hides(tmp_path: Path, name: str) -> None:
    write_unusable(tmp_path / name)
    utterance = Utterance("a", tmp_path / name, TEXT)
    accept(utterance, HEADERS)
    result = check_item(utterance, Limits(), tmp_path)
    reason = "silent_audio" if name == "silent.wav" else "unusable_audio"
    assert isinstance(result, Rejected) and result.reason == reason
    assert name in result.detail


@pytest.mark.parametrize(
    "limits",
    [
        {"min_duration_s": 5.0, "max_duration_s": 4.0},
        {"min_duration_s": -1.0},
        {"max_chars_per_s": float("nan")},
    ],
)
def test_limits_that_nothing_meets_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="set --m"):
        Limits(**limits)
