"""The tokens of a recorded prompt: the likeliest path through what the model would have drawn."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from sled import TTS
from sled.codec import TokenChannel, TransformedCodec
from sled.decoding import DecodingOptions, Request, TextTracker, generate
from sled.decoding.prompt_tokens import prompt_tokens
from sled.model.channel_tracker import MAX_COST, NOISE_SHARE
from sled.model.token_passage import MAX_PASSED, USUAL_FRAMES_PER_TOKEN
from sled.streaming.voice import Voice
from tests.debug import (
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    STREAM,
    debug_codec,
    debug_config,
    debug_marked_codec,
    debug_marked_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

NORM, WIDTH = 12.0, 32
CHANNEL = TokenChannel.random(320, WIDTH, NORM)
TRACKER = TextTracker(CHANNEL, debug_config())


def channels_of(path: list[int], text: list[int], noise: float, seed: int = 0) -> np.ndarray:
    at = torch.tensor(path)
    told = CHANNEL.vectors(torch.tensor(text)[at], at)
    generator = torch.Generator().manual_seed(seed)
    return (told + noise * torch.randn(told.shape, generator=generator)).numpy()


def test_a_path_is_found_through_noise():
    text = [0, *range(10, 30), 12, 12, 13, *range(10, 30), 2]
    path = sorted([*range(1, len(text)), *range(1, len(text), 2), *range(5, len(text), 4)])
    channels = channels_of(path, text, noise=0.7 * NORM * NOISE_SHARE**0.5)
    assert TRACKER.likeliest(channels, text).tolist() == path


def test_the_path_is_the_best_of_all_paths():
    """Against all paths of a short text, whose probabilities are computed one by one."""
    text, rate = [0, 7, 8, 7, 9, 2], 1 / USUAL_FRAMES_PER_TOKEN
    log_passed = np.array(
        [n * math.log(rate) - rate - math.lgamma(n + 1) for n in range(MAX_PASSED + 1)]
    )
    for seed in range(5):
        channels = channels_of([1, 1, 2, 4, 5], text, noise=3.0, seed=seed)
        at = torch.arange(len(text))
        right = CHANNEL.vectors(torch.tensor(text), at).numpy()
        distance = ((channels[:, None] - right) ** 2).sum(-1)
        cost = np.minimum(distance / (2 * NOISE_SHARE * NORM**2), MAX_COST)

        def score(path: tuple[int, ...], cost: np.ndarray = cost) -> float:
            passed = np.diff(path)
            if path[0] != 1 or path[-1] < len(text) - 2 or (passed < 0).any():
                return -math.inf
            if (passed > MAX_PASSED).any():
                return -math.inf
            return float(log_passed[passed].sum() - cost[np.arange(len(path)), path].sum())

        paths = list(product(range(len(text)), repeat=len(channels)))
        found = tuple(TRACKER.likeliest(channels, text).tolist())
        assert math.isclose(score(found), max(map(score, paths)), rel_tol=1e-5)


def test_each_unit_of_a_prompt_has_a_token_and_none_goes_back():
    model, text = debug_marked_model(), [0, 40, 41, 42, 43, 44, 2]
    units = torch.randn(9, *model.unit_shape, generator=torch.Generator().manual_seed(0))
    channel = debug_marked_codec().token_channel
    assert channel is not None
    steps, tokens = prompt_tokens(model, channel, Request(text, units)), None
    while tokens is None:
        try:
            next(steps)
        except StopIteration as end:
            tokens = end.value
    assert len(tokens) == len(units)
    assert tokens[0] == len(text) - 2 and tokens[-1] in (0, 1)
    assert all(one >= following for one, following in pairwise(tokens))


def test_a_voice_has_its_tokens_in_its_units_and_its_file(tmp_path):
    model = debug_marked_model(**STREAM, max_position_embeddings=2048, min_frames_per_token=4.0)
    tts = TTS(model, debug_tokenizer(), debug_marked_codec())
    voice = tts.make_voice(debug_prompt("one four", debug_waveform(0.8)))
    assert voice.tokens is not None and len(voice.tokens) == len(voice.units)
    tts.save_voice(voice, tmp_path / "voice.safetensors")
    loaded = tts.load_voice(tmp_path / "voice.safetensors")
    assert loaded.tokens == voice.tokens
    said, again = (tts.say("two", prompt=one, seed=3) for one in (voice, loaded))
    np.testing.assert_array_equal(said.audio, again.audio)


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_a_voice_read_in_advance_speaks_as_a_recording_read_with_the_text(layout, cfg, tmp_path):
    """Also from a file: the silence at its end has the channel of the first new token."""
    model, tokenizer = debug_marked_model(**layout), debug_tokenizer()
    channel = TokenChannel.random(300, width=8, norm=3.0)
    codec = TransformedCodec(debug_codec(), [channel])
    tts, silence = TTS(model, tokenizer, codec), 4
    options = DecodingOptions(max_frames=9, cfg=cfg, track_text=False, stop_threshold=2.0)
    units = codec.codes_to_units(codec.encode([torch.from_numpy(debug_waveform(0.2))])[0])
    tokens = [*sorted([1 + number % 2 for number in range(len(units) - silence)])[::-1], 0, 0, 0, 0]
    parts = {"model": model, "tokenizer": tokenizer, "codec": codec, "tokens": tokens}
    voice = tts.engine.run(Voice.prepare("one four", units, **parts))
    assert voice.prefill.prompt_frames == len(units) - silence
    tts.save_voice(voice, tmp_path / "voice.safetensors")

    ids = tokenizer.encode("one four two seven")
    at = len(tokenizer.encode("one four")) - 1 - torch.tensor(tokens)
    told = channel.write(units, torch.tensor(ids)[at], at)
    request = Request(ids, told, prompt_tokens=len(tokenizer.encode("one four")) - 1)
    (expected,) = generate(model, [request], [torch.Generator().manual_seed(3)], options)
    audio = codec.decode(torch.cat((units, expected.speech))[None])[0, len(units) * HOP :]
    for one in (voice, tts.load_voice(tmp_path / "voice.safetensors")):
        spoken = tts.say("two seven", prompt=one, seed=3, options=options)
        np.testing.assert_allclose(spoken.audio, audio.numpy(), atol=1e-5)
