"""Judges of timing, seams, quality and words, on sounds whose figures are known."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sled import TTS
from sled.evaluation.items import Clip, Item
from sled.evaluation.judges.base import Heard
from sled.evaluation.judges.quality import (
    QualityJudge,
    _dnsmos_windows,
    load_dnsmos,
    load_utmos,
)
from sled.evaluation.judges.seams import SeamJudge, is_click
from sled.evaluation.judges.timing import TimingJudge
from sled.evaluation.judges.words import WordJudge, load_word_judge
from tests.debug import debug_waveform

RATE = 24_000


def hum(seconds: float, level: float = 0.3) -> np.ndarray:
    """A voiced sound with harmonics, and a little noise."""
    times = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 140 * n * times) / n for n in range(1, 12))
    noise = np.random.default_rng(0).normal(size=len(times))
    return (level * (0.4 * tone + 0.01 * noise)).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def heard(audio: np.ndarray, text: str = "one two", **fields: object) -> Heard:
    recording = Clip("r", lambda rate: audio, text, 1.0)
    return Heard(Item("x", text, recording=recording), audio, RATE, **fields)  # type: ignore[arg-type]


def test_silence_pauses_and_pace_are_measured() -> None:
    parts = [quiet(0.2), hum(0.6), quiet(0.3), hum(0.4), quiet(0.1), hum(0.2), quiet(0.5)]
    (judged,) = TimingJudge().judge([heard(np.concatenate(parts))])
    assert judged["lead_s"] == pytest.approx(0.2, abs=0.021)
    assert judged["tail_s"] == pytest.approx(0.5, abs=0.021)
    assert judged["pauses"] == 1 and judged["pause_s"] == pytest.approx(0.3, abs=0.021)
    assert judged["words_per_s"] == pytest.approx(2 / 1.6, abs=0.05)
    assert judged["seconds"] == judged["duration_ratio"] == pytest.approx(2.3)
    assert judged["late"] and not judged["early"]


def test_wrong_ends_are_seen() -> None:
    cases = [heard(hum(1.0)), heard(hum(0.4)), heard(quiet(0)), heard(hum(1.0), stopped=False)]
    cases.append(heard(np.concatenate([hum(0.8), quiet(1.2)])))
    judged = TimingJudge().judge(cases)
    assert [one["early"] for one in judged] == [False, True, True, False, False]
    assert [one["late"] for one in judged] == [False, False, False, True, True]


def test_a_jump_is_a_click_and_speech_has_none() -> None:
    speech = TTS.from_pretrained("digits").say("nine four", seed=1).audio
    places = np.linspace(3000, len(speech) - 3000, 60).astype(int)
    false_alarms = sum(is_click(speech, int(place), RATE) for place in places)
    assert false_alarms <= 1
    voiced, found = hum(2.0), 0
    for place in np.linspace(3000, len(voiced) - 3000, 60).astype(int):
        assert not is_click(voiced, int(place), RATE)
        broken = voiced.copy()
        broken[place:] += 0.1 * (1 if voiced[place] < 0 else -1)
        found += is_click(broken, int(place), RATE)
    assert found >= 57
    (judged,) = SeamJudge().judge([heard(speech, joints=tuple(map(int, places)))])
    assert judged == {"joints": 60, "clicks": false_alarms}
    assert not is_click(quiet(1), 12_000, RATE) and not is_click(hum(0.001), 3, RATE)


def test_each_utterance_is_rated_at_16_khz_and_within_full_scale() -> None:
    seen: list[np.ndarray] = []

    def rater(speech: np.ndarray) -> float:
        seen.append(speech)
        return float(len(seen))

    judge = QualityJudge("dnsmos", rater, "toy")
    cases = [heard(debug_waveform(0.3)), heard(50 * debug_waveform(0.6)), heard(quiet(0.1))]
    # Of silence there is the worst opinion.
    assert judge.judge(cases) == [{"dnsmos": 1.0}, {"dnsmos": 2.0}, {"dnsmos": 1.0}]
    assert [len(speech) for speech in seen] == [0.3 * 16_000, 0.6 * 16_000]
    assert np.abs(seen[1]).max() == pytest.approx(1.0)


def test_utmos_is_loaded_from_a_hub_folder(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(
        "def utmos22_strong():\n    return lambda wave, rate: wave.abs().max() + rate / 16000\n"
    )
    rate = load_utmos(str(tmp_path))
    assert rate(np.array([0.5, -0.25])) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="no hubconf.py"):
        load_utmos(str(tmp_path / "none"))


def test_a_continuation_is_heard_behind_its_prompt() -> None:
    prompt = Clip("p", lambda rate: np.full(rate, 0.5, np.float32), "before", 1.0)
    item = Item("x", "after", prompt=prompt, continues=True)
    lengths: list[int] = []

    def recognize(waveforms: list[np.ndarray]) -> list[str]:
        lengths.extend(map(len, waveforms))
        return ["heard"] * len(waveforms)

    judge = WordJudge(recognize, "toy")
    plain = Item("y", "after", prompt=prompt)
    cases = [Heard(one, hum(0.5), RATE) for one in (item, plain)]
    assert judge.judge(cases) == [{"heard": "heard"}] * 2
    assert lengths == [24_000, 8_000]
    assert item.references == ("before after",) and plain.references == ("after",)


def test_a_ctc_model_of_transformers_is_a_recogniser(tmp_path: Path) -> None:
    from transformers import (
        HubertConfig,
        HubertForCTC,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Processor,
    )

    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "|": 1, "A": 2, "B": 3, "<unk>": 4}')
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), pad_token="<pad>")
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (20, 16)}
    sizes |= {"intermediate_size": 16, "num_conv_pos_embeddings": 4, "vocab_size": 5}
    config = HubertConfig(**sizes, num_conv_pos_embedding_groups=2, num_feat_extract_layers=2)
    HubertForCTC(config).save_pretrained(tmp_path)
    judge = load_word_judge(f"ctc:{tmp_path}")
    first, again, none = judge.judge([heard(hum(0.5)), heard(hum(0.5)), heard(quiet(0))])
    assert (
        first == again
        and set(first["heard"].replace("<unk>", "")) <= set("ab ")
        and none == {"heard": ""}
    )
    assert judge.version.startswith("ctc ") and "transformers" in judge.version
    with pytest.raises(ValueError, match="cannot load the recogniser 'no/such'"):
        load_word_judge("ctc:no/such")


def test_recognisers_of_extras_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, module in {"paraformer": "funasr", "nemo": "nemo.collections.asr.models"}.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ValueError, match="pip install"):
            load_word_judge(f"{kind}:model")


def test_recognisers_of_extras_are_called_as_their_packages_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class AutoModel:
        def __init__(self, model: str, **options: object) -> None:
            self.name = model

        def generate(self, input: np.ndarray, fs: int) -> list[dict[str, str]]:
            return [{"text": f"{self.name} {len(input) / fs:.1f}"}]

    module = ModuleType("funasr")
    module.AutoModel = AutoModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "funasr", module)
    judge = load_word_judge("paraformer:zh")
    assert judge.judge([heard(hum(0.5))]) == [{"heard": "zh 0.5"}]


@pytest.mark.parametrize(
    ("seconds", "count"),
    # Doubled to 12.8 s, 9.6 s, 9.1 s, and 17.8 s, of which one window is rounded to be too short.
    [(0.4, 3), (1.2, 1), (4.55, 1), (8.9, 7), (9.01, 1), (9.99, 1), (10.02, 1), (11.5, 2)],
)
def test_windows_of_dnsmos_begin_a_second_apart(seconds: float, count: int) -> None:
    speech = debug_waveform(seconds, sample_rate=16_000)
    windows = _dnsmos_windows(speech)
    assert windows.shape == (count, round(9.01 * 16_000))
    repeated = np.resize(speech, 20 * 16_000)
    for number, window in enumerate(windows):
        np.testing.assert_array_equal(window, repeated[number * 16_000 :][: len(window)])


@pytest.mark.slow
def test_dnsmos_gives_the_scores_of_its_package() -> None:
    package = pytest.importorskip("speechmos.dnsmos")
    rate = load_dnsmos()
    for seconds in (2.2, 4.6, 8.9, 10.1):
        speech = hum(seconds)[: round(16_000 * seconds)]
        assert rate(speech) == pytest.approx(package.run(speech, 16_000)["ovrl_mos"], abs=1e-5)


@pytest.mark.slow
def test_dnsmos_prefers_a_voice_without_noise() -> None:
    pytest.importorskip("speechmos")
    speech = TTS.from_pretrained().say("one two three", seed=0).audio
    noise = np.random.default_rng(0).normal(size=len(speech)).astype(np.float32)
    judge = QualityJudge("dnsmos", load_dnsmos(), "speechmos")
    noisy, clean = judge.judge([heard(speech + 0.1 * noise), heard(speech)])
    assert 1 <= noisy["dnsmos"] < clean["dnsmos"] <= 5
