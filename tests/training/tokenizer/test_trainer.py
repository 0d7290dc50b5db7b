"""Training a tiny speech tokenizer on tones that spell letters."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from torch.nn.utils.rnn import pad_sequence

from sled.codec.features import tokenizer_features
from sled.codec.speech_tokens.files import load_speech_tokenizer
from sled.codec.speech_tokens.network import TokenizerSizes
from sled.training.tokenizer.model import Spelling, SpellingTokenizer
from tests.commands import run

RATE = 16_000
TONES = {"a": 300.0, "b": 900.0, "c": 2500.0, "d": 5000.0}
SMALL = {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1}
SMALL |= {"batch_duration_s": 8, "learning_rate": 0.004, "warmup_steps": 10, "num_workers": 0}
SMALL |= {"time_mask_s": 0.0, "frequency_mask": 0, "device": "cpu"}


def tones(letters: str, noise: np.random.Generator) -> np.ndarray:
    """A tone of 160 ms for each letter, and a pause behind it."""
    time = np.arange(round(0.16 * RATE)) / RATE
    pause = np.zeros(round(0.08 * RATE))
    sounds = [
        np.concatenate((0.3 * np.sin(2 * np.pi * TONES[one] * time), pause)) for one in letters
    ]
    clip = np.concatenate(sounds)
    return clip + 0.002 * noise.standard_normal(len(clip))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder, noise = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    cuts = []
    for number in range(48):
        text = "".join(noise.choice(list(TONES), size=4 + number % 4))
        path = folder / f"{number}.wav"
        samples = tones(text, noise)
        soundfile.write(path, samples, RATE)
        recording = Recording.from_file(path)
        supervision = SupervisionSegment(
            f"{number}", recording.id, 0.0, recording.duration, text=text
        )
        cuts.append(
            MonoCut(f"{number}", 0.0, recording.duration, 0, [supervision], recording=recording)
        )
    CutSet.from_cuts(cuts[:40]).to_file(folder / "train.jsonl.gz")
    CutSet.from_cuts(cuts[40:]).to_file(folder / "valid.jsonl.gz")
    return folder


def train(corpus: Path, output: Path, **settings: object) -> int:
    flags = [f"--{key}={value}" for key, value in (SMALL | settings).items()]
    manifests = [
        f"--{kind}_manifest={corpus}/{name}.jsonl.gz"
        for kind, name in (("train", "train"), ("eval", "valid"))
    ]
    return run("tokenizer speech train", *manifests, "-o", output, *flags)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("run") / "tokenizer"
    assert train(corpus, output, max_steps=240, save_steps=100, eval_steps=200) == 0
    return output


def test_it_learns_to_keep_what_is_said(trained):
    told = json.loads((trained / "symbols.json").read_text())
    assert told["symbols"] == list("abcd")
    assert told["validation"]["symbol_error"] < 0.1
    assert told["validation"]["token_rate"] == pytest.approx(25, abs=1)
    assert told["validation"]["tokens_used"] > 5


def test_the_folder_and_the_onnx_file_give_the_same_tokens(trained, corpus):
    folder = load_speech_tokenizer(trained)
    exported = load_speech_tokenizer(trained / "speech_tokenizer_v2.onnx")
    for number in (40, 41):
        samples, _ = soundfile.read(corpus / f"{number}.wav", dtype="float32")
        waveform = torch.from_numpy(samples)
        [tokens], [same] = folder.encode([waveform]), exported.encode([waveform])
        assert tokens.equal(same)
        assert len(tokens) == pytest.approx(len(samples) / RATE * 25, abs=1)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(corpus, tmp_path, monkeypatch):
    from sled.training.tokenizer.trainer import TokenizerTrainer

    assert train(corpus, tmp_path / "whole", max_steps=8, save_steps=100) == 0
    step, steps = TokenizerTrainer._train_step, []

    def interrupted(self, batch):
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(batch)
        return step(self, batch)

    monkeypatch.setattr(TokenizerTrainer, "_train_step", interrupted)
    assert train(corpus, tmp_path / "cut", max_steps=8, save_steps=3) == 130
    monkeypatch.undo()
    assert train(corpus, tmp_path / "cut", max_steps=8, save_steps=100) == 0
    states = [
        torch.load(tmp_path / name / "training_state.pt", weights_only=True)["model"]
        for name in ("whole", "cut")
    ]
    assert all(states[0][key].equal(states[1][key]) for key in states[0])


def test_other_settings_do_not_continue_a_run(trained, corpus, capsys):
    assert train(corpus, trained, hidden_size=16) == 2
    assert "other settings (hidden_size, max_steps)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"num_heads": 5}, "heads"), ({"max_steps": 0}, "--max_steps"), ({"seed": "x"}, "seed")],
)
def test_bad_settings_are_refused_in_one_line(settings, word, corpus, tmp_path, capsys):
    assert train(corpus, tmp_path / "run", **settings) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


def test_a_corpus_without_text_is_refused(corpus, tmp_path, capsys):
    cuts = CutSet.from_file(corpus / "train.jsonl.gz").drop_supervisions()
    cuts.to_file(tmp_path / "train.jsonl.gz")
    cuts.to_file(tmp_path / "valid.jsonl.gz")
    assert train(tmp_path, tmp_path / "run", max_steps=2) == 2
    assert "transcripts" in capsys.readouterr().err


def test_a_clip_is_spelled_alike_in_a_batch_and_gradients_reach_all_weights():
    torch.manual_seed(0)
    sizes = TokenizerSizes(n_audio_state=16, n_audio_head=2, n_audio_layer=1)
    model = SpellingTokenizer(sizes, num_layers=1, num_symbols=5)
    mels = [tokenizer_features(0.1 * torch.randn(size)).T for size in (9_600, 16_000)]
    lengths = torch.tensor([len(mel) for mel in mels])
    spelling = model(pad_sequence(mels, batch_first=True).transpose(1, 2), lengths)
    alone = model(mels[0].T[None], lengths[:1])
    count = int(spelling.lengths[0])
    torch.testing.assert_close(
        spelling.log_probs[0, :count], alone.log_probs[0, :count], atol=1e-4, rtol=1e-4
    )
    spelling.loss([torch.tensor([1, 2, 3]), torch.tensor([4, 1])]).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_a_batch_without_symbols_has_no_loss():
    """One in a validation would make its mean NaN."""
    scores = torch.randn(1, 6, 5).log_softmax(-1)
    lengths = torch.tensor([6])
    spelling = Spelling(scores, lengths, torch.zeros(1, 3), lengths // 2, torch.zeros(()))
    assert spelling.loss([torch.zeros(0, dtype=torch.long)]) * 0 == 0


def test_digits_that_round_to_one_level_are_spread():
    """So large that rounding and tanh leave no gradient of their own."""
    torch.manual_seed(0)
    sizes = TokenizerSizes(n_audio_state=16, n_audio_head=2, n_audio_layer=1)
    model = SpellingTokenizer(sizes, num_layers=1, num_symbols=5)
    down = model.network.quantizer.codebook.project_down
    with torch.no_grad():
        down.bias.fill_(30.0)
    optimizer, mel = torch.optim.Adam(model.parameters(), 0.5), torch.randn(2, 128, 60)
    before = model(mel, torch.tensor([60, 60])).tokens
    for _ in range(80):
        optimizer.zero_grad()
        model(mel, torch.tensor([60, 60])).spread.backward()
        optimizer.step()
    after = model(mel, torch.tensor([60, 60])).tokens
    assert len(before.unique()) == 1
    assert len(after.unique()) > 8
