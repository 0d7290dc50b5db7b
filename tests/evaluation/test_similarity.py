"""Comparing voices: with a toy encoder whose embeddings are known, and a tiny real one."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

from sled.evaluation.items import Clip, Item
from sled.evaluation.judges.base import Heard
from sled.evaluation.judges.similarity import SimilarityJudge, load_speaker_encoder
from sled.files.extras import install_command

RATE = 16_000
LOW, HIGH, MIXED = 200.0, 400.0, 300.0


def hum(pitch_hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def pitch_encoder(speech: np.ndarray) -> np.ndarray:
    """Voices are told apart by their pitch: low ones and high ones are at right angles."""
    pitch_hz = np.abs(np.fft.rfft(speech)).argmax() * RATE / len(speech)
    angle = np.pi / 2 * (pitch_hz - LOW) / (HIGH - LOW)
    return 3.0 * np.array([np.cos(angle), np.sin(angle)])


def items_of(*voices: tuple[str, float]) -> list[Item]:
    """Items with recordings, given as pairs of speaker and pitch."""
    items = []
    for index, (speaker, pitch_hz) in enumerate(voices):
        recording = Clip(str(index), lambda rate, pitch_hz=pitch_hz: hum(pitch_hz), "hum")
        items.append(Item(str(index), "hum", speaker=speaker, recording=recording))
    return items


def judged(items: list[Item], waveforms: list[np.ndarray], rate: int = RATE) -> float:
    """The mean similarity."""
    judge = SimilarityJudge(pitch_encoder, "toy", items)
    heard = [Heard(item, one, rate) for item, one in zip(items, waveforms, strict=False)]
    return float(np.mean([figures["similarity"] for figures in judge.judge(heard)]))


def test_the_same_voice_is_at_1_and_one_at_right_angles_at_0() -> None:
    items = items_of(("ann", LOW), ("ann", LOW))
    assert judged(items, [hum(LOW), hum(LOW)]) == pytest.approx(1.0, abs=1e-3)
    assert judged(items, [hum(HIGH), hum(HIGH)]) == pytest.approx(0.0, abs=1e-2)
    assert judged(items, [hum(MIXED), hum(LOW)]) == pytest.approx((0.5**0.5 + 1) / 2, abs=1e-2)


def test_each_utterance_is_compared_with_its_own_speaker() -> None:
    items = items_of(("ann", LOW), ("bob", HIGH), ("ann", LOW), ("bob", HIGH))
    own = [hum(LOW), hum(HIGH), hum(LOW), hum(HIGH)]
    assert judged(items, own) == pytest.approx(1.0, abs=1e-2)
    assert judged(items, own[::-1]) == pytest.approx(0.0, abs=1e-2)


def test_a_recording_does_not_count_as_its_own_model() -> None:
    """Else recordings would seem more alike than they are."""
    items = items_of(("ann", LOW), ("ann", HIGH))
    assert judged(items, [hum(LOW), hum(HIGH)]) == pytest.approx(0.0, abs=1e-2)


def test_any_rate_and_length_will_do_and_silence_is_no_voice() -> None:
    items = items_of(("ann", LOW), ("ann", LOW))
    at_24_khz = np.interp(np.arange(24_000) * 2 / 3, np.arange(RATE), hum(LOW)).astype(np.float32)
    assert judged(items, [at_24_khz, at_24_khz], 24_000) == pytest.approx(1.0, abs=1e-2)
    assert judged(items, [hum(LOW, 0.5), np.zeros(0, np.float32)]) == pytest.approx(0.5, abs=1e-2)


def test_a_lone_recording_is_refused() -> None:
    with pytest.raises(ValueError, match="speaker bob has a single"):
        judged(items_of(("ann", LOW), ("ann", LOW), ("bob", LOW)), [hum(LOW)] * 3)


def test_with_a_prompt_it_is_the_prompt_that_counts_and_the_codec_is_a_second_measure() -> None:
    prompt = Clip("p", lambda rate: hum(HIGH), "hum")
    (item,) = items_of(("ann", LOW))
    item = replace(item, prompt=prompt)
    # This codec makes every voice low.
    judge = SimilarityJudge(pitch_encoder, "toy", [item], lambda clip: (hum(LOW), RATE))
    (figures,) = judge.judge([Heard(item, hum(HIGH), RATE)])
    assert figures["similarity"] == pytest.approx(1.0, abs=1e-2)
    assert figures["similarity_codec"] == pytest.approx(0.0, abs=1e-2)
    without = Item("x", "hum")  # neither prompt nor recording
    assert judge.judge([Heard(without, hum(HIGH), RATE)]) == [{}]


def test_an_onnx_file_is_an_encoder(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["wave"], ["embedding"], keepdims=1)],
        "mean",
        [helper.make_tensor_value_info("wave", kind, [1, "samples"])],
        [helper.make_tensor_value_info("embedding", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "encoder.onnx")
    encoder = load_speaker_encoder(str(tmp_path / "encoder.onnx"))
    assert encoder(np.array([1.0, 2.0, 6.0])).tolist() == [3.0]
    with pytest.raises(ValueError, match="check the path"):
        load_speaker_encoder(str(tmp_path / "none.onnx"))


def test_an_xvector_model_of_transformers_is_an_encoder(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    convolutions = {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (20, 16)}
    tail = {"tdnn_dim": (8,) * 5, "xvector_output_dim": 6, "num_conv_pos_embeddings": 4}
    other = {"intermediate_size": 16, "num_conv_pos_embedding_groups": 2, "initializer_range": 0.5}
    config = WavLMConfig(**sizes, **convolutions, **tail, **other)
    WavLMForXVector(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    encoder = load_speaker_encoder(str(tmp_path))
    low, again, high = encoder(hum(LOW)), encoder(hum(LOW)), encoder(hum(HIGH))
    assert low.shape == (6,) and np.array_equal(low, again) and not np.allclose(low, high)


def test_an_encoder_that_is_not_there_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        ValueError, match="'no/such'.*or resemblyzer, which needs no download"
    ) as caught:
        load_speaker_encoder("no/such")
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(ValueError, match=re.escape(install_command("speaker"))):
        load_speaker_encoder("resemblyzer")


def test_resemblyzer_is_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    class VoiceEncoder:
        def __init__(self, device: str, verbose: bool) -> None:
            assert (device, verbose) == ("cpu", False)

        def embed_utterance(self, speech: np.ndarray) -> np.ndarray:
            return np.full(256, speech.mean())

    module = ModuleType("resemblyzer")
    module.VoiceEncoder = VoiceEncoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "resemblyzer", module)
    assert load_speaker_encoder("resemblyzer")(np.ones(10)).tolist() == [1.0] * 256
