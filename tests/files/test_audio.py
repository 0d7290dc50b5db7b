"""Audio files come in mono at the rate asked for, and go out whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sled.files.audio import AudioWriter, read_audio, write_audio


def tone(seconds: float, sample_rate: int, frequency_hz: float = 440.0) -> np.ndarray:
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.3 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 44_100])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_any_file_is_read_as_mono_at_the_rate_asked_for(
    tmp_path: Path, suffix: str, sample_rate: int, num_channels: int
) -> None:
    path = tmp_path / f"tone.{suffix}"
    channels = np.tile(tone(0.5, sample_rate)[:, None], num_channels)
    soundfile.write(path, channels, sample_rate)

    waveform = read_audio(path, 24_000)

    assert waveform.shape == (12_000,) and waveform.dtype == torch.float32
    middle = slice(2_000, 10_000)  # away from the edges, where resampling rings
    expected = tone(0.5, 24_000)[middle]
    # Phase may shift in a lossy codec, so compare what is heard: pitch and loudness.
    spectrum = np.abs(np.fft.rfft(waveform[middle].numpy()))
    assert spectrum.argmax() == np.abs(np.fft.rfft(expected)).argmax()
    assert waveform[middle].std() == pytest.approx(expected.std(), rel=0.05)


def test_samples_at_the_wanted_rate_are_not_touched(tmp_path: Path) -> None:
    samples = tone(0.1, 24_000)
    soundfile.write(tmp_path / "a.wav", samples, 24_000, subtype="FLOAT")
    assert torch.equal(read_audio(tmp_path / "a.wav", 24_000), torch.from_numpy(samples))


def test_what_cannot_be_used_is_refused_by_name_and_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 24_000)
    soundfile.write(tmp_path / "silent.wav", np.full(24_000, 1e-4, np.float32), 24_000)
    soundfile.write(tmp_path / "nan.wav", np.full(9, np.nan, np.float32), 24_000, subtype="FLOAT")
    reasons = {
        "none.wav": "check the path",
        "text.wav": "convert it",
        "empty.wav": "no audio",
        "silent.wav": "silent",
        "nan.wav": "not finite",
    }
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=reason) as caught:
            read_audio(tmp_path / name, 24_000)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_written_audio_reads_back(tmp_path: Path) -> None:
    samples = tone(0.2, 24_000)
    for waveform in (samples, torch.from_numpy(samples)):
        write_audio(tmp_path / "out.flac", waveform, 24_000)
        read = read_audio(tmp_path / "out.flac", 24_000)
        np.testing.assert_allclose(read, samples, atol=2**-15)


def test_too_loud_audio_is_scaled_not_clipped(tmp_path: Path) -> None:
    samples = 10 * tone(0.2, 24_000)
    write_audio(tmp_path / "loud.wav", samples, 24_000)
    read = read_audio(tmp_path / "loud.wav", 24_000)
    np.testing.assert_allclose(read, samples / np.abs(samples).max(), atol=2**-14)


@pytest.mark.parametrize(
    ("name", "reason"), [("no/out.wav", "folder"), ("out.xyz", ".wav"), ("out", ".wav")]
)
def test_paths_that_cannot_be_written_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        write_audio(tmp_path / name, tone(0.1, 24_000), 24_000)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_audio(tmp_path / "out.wav", tone(0.1, 24_000), 24_000)
    before = (tmp_path / "out.wav").read_bytes()

    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_audio(tmp_path / "out.wav", tone(0.2, 24_000), 24_000)
    assert (tmp_path / "out.wav").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


@pytest.mark.parametrize("samples", [np.zeros((2, 9), np.float32), np.array([0.1, np.inf])])
def test_only_finite_mono_signals_are_written(tmp_path: Path, samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mono"):
        write_audio(tmp_path / "out.wav", samples, 24_000)


def test_a_growing_file_holds_all_pieces_at_the_end(tmp_path: Path) -> None:
    samples = tone(0.2, 24_000)
    with AudioWriter(tmp_path / "out.wav", 24_000) as file:
        for piece in np.array_split(2 * samples, 7):
            file.write(piece)
        assert not (tmp_path / "out.wav").exists()
    read = read_audio(tmp_path / "out.wav", 24_000)
    np.testing.assert_allclose(read, np.clip(2 * samples, -1, 1), atol=2**-14)


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt, True), (ValueError, False)])
def test_a_growing_file_survives_the_keyboard_only(
    tmp_path: Path, error: type[BaseException], kept: bool
) -> None:
    with pytest.raises(error), AudioWriter(tmp_path / "out.wav", 24_000) as file:
        file.write(tone(0.1, 24_000))
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"] * kept
