"""The bundled models say what they said before: each way of speaking, held against a record.

`goldens/speech.safetensors` holds speech of `digits`, every 16th sample, that was made before the
package was rebuilt (commit e37b143), with the same calls as below. It was not amplified, and its
prompts were continued as they were recorded. Cloned speech was recorded again when prompts got
their own tokens. Of `english` it holds levels: its codec adds up pitches to a phase, in which the
roundings of a processor also add up.
"""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sled import TTS, DecodingOptions, Layout, Prompt
from tests.debug import GOLDENS

KEPT = 16  # every so many samples
LEVEL = 240  # samples of which the level is kept, 10 ms
TEXTS = {
    "digits": ["four two", "nine one", "six", "three five", "zero"],
    "english": ["Dr. Smith paid $5.", "Short.", "Good day.", "Why not?", "She was there."],
}


def all_ways_of_speaking(name: str, layout: str) -> dict[str, np.ndarray]:
    """Whole, fed by the character, cloned, in a batch of five, before and after a snapshot."""
    tts = TTS.from_pretrained(name, dtype="float32")
    kind = Layout() if layout == "offline" else tts.model.layout
    texts = TEXTS[name]
    whole = tts.say(texts[0], seed=1, layout=kind, gain_db=0.0)
    said = {"whole": whole.audio}
    with tts.open_session(seed=2, layout=kind, max_start_delay_s=0.0, gain_db=0.0) as session:
        for character in texts[1]:
            session.feed(character)
        session.flush()
        said["characters"] = np.concatenate(list(session))
    voice = tts.make_voice(Prompt(texts[0], whole.audio, as_recorded=True), kind)
    guided = DecodingOptions(cfg=1.5, temperature=0.8)
    cloned = tts.say(texts[2], prompt=voice, seed=4, layout=kind, options=guided, gain_db=0.0)
    said["cloned"] = cloned.audio
    batch = tts.synthesize(texts, seeds=10, layout=kind, gain_db=0.0)
    said["batch"] = np.concatenate([one.audio for one in batch])
    with tts.open_session(seed=5, layout=kind, max_start_delay_s=0.0, gain_db=0.0) as session:
        session.feed(texts[0][:-3])
        state = session.snapshot()
        session.feed(texts[0][-3:])
        session.flush()
        said["snapshotted"] = np.concatenate(list(session))
    with tts.resume_session(state) as session:
        session.feed(texts[0][-3:])
        session.flush()
        said["resumed"] = np.concatenate(list(session))
    return {f"{name}.{layout}.{way}": audio for way, audio in said.items()}


def kept(name: str, audio: np.ndarray) -> np.ndarray:
    """What of speech is recorded."""
    if name == "digits":
        return audio[::KEPT]
    pieces = audio[: len(audio) // LEVEL * LEVEL].reshape(-1, LEVEL)
    return np.sqrt(np.square(pieces).mean(1))


@pytest.mark.parametrize("layout", ["offline", "stream"])
@pytest.mark.parametrize("name", TEXTS)
def test_speech_is_as_it_was_recorded(name: str, layout: str) -> None:
    recorded = load_file(GOLDENS / "speech.safetensors")
    assert torch.get_default_dtype() == torch.float32
    for key, audio in all_ways_of_speaking(name, layout).items():
        assert abs(recorded[key]).max() > 0.05
        # Processors round differently, and a model reads what it has said.
        np.testing.assert_allclose(kept(name, audio), recorded[key], 0, 1e-3, err_msg=key)
