"""A spectral codec in the rest of the package: cached corpora, training, speech and prompts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet

from sled import TTS, DecodingOptions
from sled.codec import CodecParts, SpectralCodec, load_codec
from sled.codec.spectral.network import Spectral
from sled.data.cache.codes import cut_codes, load_cached
from sled.tts import ONE_SEGMENT
from tests.codec.spectral.models import tiny_spectral
from tests.commands import run
from tests.debug import (
    LAYOUT_IDS,
    LAYOUTS,
    STREAM,
    debug_cut,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

NEVER = 2.0


def model_24khz() -> Spectral:
    sizes = {"sampling_rate": 24_000, "stft_window": 1280, "stft_hop": 320, "mel_bands": 20}
    return tiny_spectral(**sizes, columns_per_frame=4, latent_size=32)


def tts(**layout: object) -> TTS:
    model = debug_model(frame_rate=18.75, **layout)
    return TTS(model, debug_tokenizer(), SpectralCodec(model_24khz()))


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
@pytest.mark.parametrize("prompted", [False, True], ids=["text alone", "with a prompt"])
def test_a_session_returns_the_speech_of_the_whole(
    layout: dict[str, object], prompted: bool
) -> None:
    """Pieces of text in, chunks of audio out; also for two sessions that are decoded together."""
    speaker, options = tts(**layout), DecodingOptions(stop_threshold=NEVER, max_frames=11)
    prompt = debug_prompt("one", debug_waveform(0.4)) if prompted else None
    whole = speaker.say("four two seven", seed=1, prompt=prompt, options=options)
    assert whole.audio.any() and len(whole.audio) > 10 * 1280
    voice = None if prompt is None else speaker.make_voice(prompt)
    sessions = [
        speaker.open_session(seed=1, voice=voice, decoding=options, limits=ONE_SEGMENT)
        for _ in range(2)
    ]
    for session in sessions:
        session.feed("four two seven")
        session.flush()
    for session in sessions:
        audio = np.concatenate(list(session))
        np.testing.assert_allclose(
            audio, whole.audio, rtol=0, atol=1e-5 * np.abs(whole.audio).max()
        )


def test_a_corpus_is_cached_and_trained_on(tmp_path: Path) -> None:
    """With transforms as with any codec; the saved model speaks."""
    CodecParts(model_24khz()).save(tmp_path / "codec")
    cuts = [
        debug_cut(tmp_path / f"{name}.wav", seconds, text, seed=seed)
        for seed, (name, seconds, text) in enumerate([("a", 0.9, "four"), ("b", 1.3, "one nine")])
    ]
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
    debug_tokenizer().save_pretrained(tmp_path / "tokenizer")
    cache = {"manifest": "cuts.jsonl.gz", "codec": "codec", "output": "codes"}
    flags = [word for key, name in cache.items() for word in (f"--{key}", tmp_path / name)]
    assert run("cache codes", *flags, "--num_workers", 0, "--device", "cpu") == 0

    codec = load_codec(tmp_path / "codec")
    for cut in load_cached(tmp_path / "codes"):
        seconds = {one.id: one.duration for one in cuts}[cut.id]
        assert cut_codes(cut).shape == (32, codec.num_frames(round(seconds * 24_000)))

    fit = {"codec": "codec", "codes": "codes", "output": "latents"}
    flags = [word for key, name in fit.items() for word in (f"--{key}", tmp_path / name)]
    assert run("codec fit", *flags, "--transforms", "whiten,group:2") == 0
    train = {"train_manifest": "codes", "tokenizer": "tokenizer", "codec": "latents"}
    flags = [word for key, name in train.items() for word in (f"--{key}", tmp_path / name)]
    sizes = "--hidden_size 32 --intermediate_size 48 --num_hidden_layers 1 --num_attention_heads 4"
    sizes += " --diffloss_d 1 --diffloss_w 16 --noise_channels 4"
    layout = [f"--{key}={value}" for key, value in STREAM.items()]
    more = ("--output", tmp_path / "model", "--max_steps", 1, "--use_cpu", *sizes.split(), *layout)
    assert run("train", *flags, *more) == 0

    speaker = TTS.from_pretrained(tmp_path / "model")
    assert speaker.model.config.architecture.frame_rate == 9.375
    speech = speaker.say("one", options=DecodingOptions(stop_threshold=NEVER, max_frames=3))
    assert speech.units.shape == (3, 64)
    assert torch.as_tensor(speech.audio).isfinite().all()
