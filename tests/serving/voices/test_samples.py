"""Uploaded recordings are decoded, and harmful ones do no harm."""

import base64
import json
import subprocess

import numpy as np
import pytest

from sled.serving.errors import ApiError
from sled.serving.voices import samples
from sled.serving.voices.samples import decode_base64, decode_sample
from tests.serving.voices.recordings import RATE, as_file, as_media, tone


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("adts", "aac"),
        ("webm", "libopus"),
        ("mp4", "aac"),
    ],
)
def test_the_usual_formats(container: str, codec: str) -> None:
    sample = decode_sample(as_media(tone(), container, codec), "audio_sample")
    assert len(sample.audio) / sample.sample_rate == pytest.approx(0.6, abs=0.1)
    assert 0.2 < np.abs(sample.audio).max() < 0.4


def test_samples_and_channels_are_kept() -> None:
    stereo = np.stack([tone(), -0.5 * tone()], axis=1)
    sample = decode_sample(as_file(stereo, "FLAC"), "audio_sample")
    np.testing.assert_allclose(sample.audio, stereo, atol=1e-4)
    assert sample.sample_rate == RATE


SILENT_HOUR = as_file(np.zeros(3600 * 8000, np.int16), "FLAC", 8000)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "format_unsupported"),
        (b"no audio at all" * 100, "format_unsupported"),
        (as_file(tone())[:30], "format_unsupported"),
        (PLAYLIST, "format_unsupported"),
        (SILENT_HOUR, "prompt_too_long"),
        (bytes(samples.MAX_SAMPLE_BYTES + 1), "body_too_large"),
    ],
    ids=["empty", "garbage", "cut off", "playlist", "an hour in little space", "too large"],
)
def test_harmful_files(data: bytes, code: str) -> None:
    with pytest.raises(ApiError) as error:
        decode_sample(data, "audio_sample")
    assert error.value.code == code
    assert error.value.param == "audio_sample"
    assert "Traceback" not in error.value.message


def run_decoder(prelude: str) -> subprocess.CompletedProcess[bytes]:
    """Run some code in a process with the limits of the decoder."""
    code = (
        "from sled.serving.voices.decode_sample import limit_process\n"
        f"limit_process()\n{prelude}\nprint('was not stopped')"
    )
    return subprocess.run([samples.sys.executable, "-c", code], capture_output=True, timeout=60)


def test_the_decoder_has_little_memory_and_writes_no_files(tmp_path: object) -> None:
    assert b"MemoryError" in run_decoder("bytes(2 << 30)").stderr
    done = run_decoder(f"open({str(tmp_path)!r} + '/file', 'wb', 0).write(b'x')")
    assert b"was not stopped" not in done.stdout


def test_a_decoder_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "DECODE_S", 0.01)
    with pytest.raises(ApiError, match="too long to decode") as error:
        decode_sample(as_file(tone()), "audio_sample")
    assert error.value.code == "format_unsupported"


@pytest.mark.parametrize(
    "text",
    ["https://example.org/voice.wav", "file:///etc/passwd", "data:audio/wav,plain", "not base64!"],
)
def test_fields_that_hold_no_base64(text: str) -> None:
    with pytest.raises(ApiError) as error:
        decode_base64(text, "ref_audio")
    assert (error.value.code, error.value.param) == ("invalid_value", "ref_audio")


def test_base64_and_data_urls() -> None:
    data = json.dumps(list(range(300))).encode()
    text = base64.b64encode(data).decode()
    assert decode_base64(text, "ref_audio") == data
    assert decode_base64(f"data:audio/wav;base64,{text}", "ref_audio") == data
