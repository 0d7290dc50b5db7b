"""Adapting a codec's decoder to other voices: the audio improves, the codes stay the same."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sled.codec import CodecParts, Emphasize, Group, TokenChannel, Whiten, group_codes, load_codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.files import TRAINING_AVERAGES
from sled.codec.encodec.initialize import new_encodec
from sled.codec.encodec.network import Encodec
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.codec.evaluation import evaluate_codec
from tests.commands import run
from tests.debug import GOLDENS, SAMPLE_RATE, debug_codec, debug_waveform, randn
from tests.training.test_codec_training import dies_at


def clips(count: int = 6) -> list[Tensor]:
    return [torch.as_tensor(debug_waveform(0.4, seed=seed)) for seed in range(count)]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec with all views over it, in half precision, as it comes with a voice."""
    folder = tmp_path_factory.mktemp("origin")
    codes = debug_codec().encode(clips())
    parts = CodecParts.load(GOLDENS / "codec")
    whiten = Whiten.of(map(debug_codec().codes_to_units, codes), 0.1)
    parts = parts.with_transforms(whiten, Group(2))
    latents = [parts.assemble().codes_to_units(group_codes(one, 2)) for one in codes]
    sounds = torch.arange(len(latents[0])) % 3
    emphasize, _ = Emphasize.of([(one, sounds) for one in latents], 2.0)
    channel = TokenChannel.random(vocab_size=40, width=6, norm=3.0)
    parts = parts.with_transforms(emphasize, channel)
    parts.model.half()
    parts.save(folder / "half")
    return folder / "half"


def adaptation(corpus: Path, origin: Path, output: Path, **changes: Any) -> CodecTrainingConfig:
    manifest = str(corpus / "cuts.jsonl.gz")
    settings: dict[str, Any] = {
        "train_manifest": manifest,
        "eval_manifest": manifest,
        "output_dir": str(output),
        "finetune_path": str(origin),
        "max_steps": 4,
        "batch_size": 2,
        "segment_s": 0.1,
        "adversarial_at": 0.5,
        "discriminator_filters": 2,
        "warmup_steps": 1,
        "save_steps": 3,
        "bf16": False,
        "max_eval_cuts": 2,
    }
    return CodecTrainingConfig(**(settings | changes))


def test_only_the_decoder_is_another(corpus: Path, origin: Path, tmp_path: Path) -> None:
    CodecTrainer(adaptation(corpus, origin, tmp_path / "codec")).train()
    before, after = load_codec(origin), load_codec(tmp_path / "codec")
    assert after.token_channel is not None
    assert (after.frames_per_unit, after.unit_shape) == (2, before.unit_shape)
    assert before.digest() == after.digest()
    codes = before.encode(clips())
    for one, other in zip(codes, after.encode(clips()), strict=True):
        assert one.equal(other)
    latents = before.codes_to_units(codes[0])[None]
    assert latents.equal(after.codes_to_units(codes[0])[None])
    assert not before.decode(latents).equal(after.decode(latents))

    weights = [CodecParts.load(path).model.state_dict() for path in (origin, tmp_path / "codec")]
    for name, tensor in weights[0].items():
        if not name.endswith(TRAINING_AVERAGES):
            assert tensor.equal(weights[1][name]) == (not name.startswith("decoder.")), name
    for file in origin.glob("*.safetensors"):
        if file.name != "model.safetensors":
            assert file.read_bytes() == (tmp_path / "codec" / file.name).read_bytes()


@pytest.mark.parametrize("adversarial_at", [0.0, 1.0])
def test_it_comes_to_speak_as_the_recordings_do(
    adversarial_at: float, corpus: Path, origin: Path, tmp_path: Path
) -> None:
    changes = {"max_steps": 30, "learning_rate": 3e-3, "adversarial_at": adversarial_at}
    trainer = CodecTrainer(adaptation(corpus, origin, tmp_path, **changes))
    model = CodecParts.load(origin).model
    reconstruct = partial(trainer.learner.reconstruct, model)
    before = evaluate_codec(reconstruct, trainer.eval_clips, SAMPLE_RATE, model.device)
    assert trainer.train().mel_distance < 0.8 * before.mel_distance


def test_latents_of_all_views_are_those_of_the_codec_below(origin: Path) -> None:
    """As adapting takes them, from a model to the decoder."""
    codec = load_codec(origin)
    for codes, audio in zip(codec.stored.encode(clips()), clips(), strict=True):
        latents = codec.codes_to_units(codec.encode([audio])[0])
        below = codec.stored.codes_to_units(codes)
        restored = codec.to_stored(latents[None])[0]
        torch.testing.assert_close(restored[: len(below)], below, rtol=1e-3, atol=1e-3)


def test_before_the_first_step_it_speaks_as_it_did(
    corpus: Path, origin: Path, tmp_path: Path
) -> None:
    """Whatever levels and scales the weights are trained at."""
    learner = CodecTrainer(adaptation(corpus, origin, tmp_path, loudness_db=-30.0)).learner
    latents = randn(1, 32, 20)
    with torch.no_grad():
        before = CodecParts.load(origin).model.decoder(latents)
        after = learner.finished_model().decoder(latents)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)


def test_noise_is_in_proportion_to_the_latents(corpus: Path, origin: Path, tmp_path: Path) -> None:
    """For the latents of a codec that comes from elsewhere are as wide as they are."""
    trainer = CodecTrainer(adaptation(corpus, origin, tmp_path))
    trainer.learner.train_step(0.0)
    model = trainer.learner.model
    batch = trainer.sampler.batch(64, torch.Generator().manual_seed(5)).waveforms
    with torch.no_grad():
        latents = model.quantizer.decode(model.quantizer.encode(model.encoder(batch)))
    power = float(latents.square().mean())
    assert trainer.learner.latent_rms == pytest.approx(power**0.5, rel=0.1)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_decoder_hears_the_codebooks_that_are_used(
    grouped: bool, corpus: Path, tmp_path: Path
) -> None:
    """The published codec holds 32, of which we use 8."""
    model = new_encodec(EncodecConfig(num_filters=2, hidden_size=8, target_bandwidths=(12.0,)))
    for codebook in model.quantizer.codebooks:
        codebook.embed.normal_()
    CodecParts(model).save(tmp_path / "large")
    assert len(model.quantizer.layers) == 16
    origin = tmp_path / "large"
    if grouped:
        origin = tmp_path / "grouped"
        CodecParts(model).with_transforms(Group(2)).save(origin)
    trainer = CodecTrainer(adaptation(corpus, origin, tmp_path / "codec"))
    assert len(trainer.train().used_entries) == 8
    assert len(CodecParts.load(tmp_path / "codec").model.quantizer.layers) == 16


def test_a_killed_run_continues_as_if_it_had_not_been(
    corpus: Path, origin: Path, tmp_path: Path
) -> None:
    whole = CodecTrainer(adaptation(corpus, origin, tmp_path / "whole"))
    wanted = whole.train()
    killed = CodecTrainer(adaptation(corpus, origin, tmp_path / "killed"))
    with dies_at(killed, step=3), pytest.raises(KeyboardInterrupt):
        killed.train()
    again = CodecTrainer(adaptation(corpus, origin, tmp_path / "killed"))
    assert again.train().mel_distance == wanted.mel_distance
    for name, tensor in whole.learner.average.state_dict().items():
        assert tensor.equal(again.learner.average.state_dict()[name]), name


def double_a_codebook(model: Encodec) -> None:
    model.quantizer.layers[0].codebook.embed.mul_(2)


def drop_a_codebook(model: Encodec) -> None:
    del model.quantizer.layers[-1]
    model.config = replace(model.config, target_bandwidths=(5.25,))  # kbit/s, 0.75 each


@pytest.mark.parametrize("change", [double_a_codebook, drop_a_codebook])
def test_a_run_does_not_go_on_from_another_codec(
    change: Callable[[Encodec], None], corpus: Path, origin: Path, tmp_path: Path
) -> None:
    parts = CodecParts.load(origin)
    parts.save(tmp_path / "mine")
    CodecTrainer(adaptation(corpus, tmp_path / "mine", tmp_path / "codec")).save_state()
    change(parts.model)
    parts.save(tmp_path / "mine")
    with pytest.raises(ValueError, match="is not the codec that the run"):
        CodecTrainer(adaptation(corpus, tmp_path / "mine", tmp_path / "codec")).resume()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"num_filters": 8}, "num_filters with finetune_path"),
        ({"quantize_at": 0.1, "power_weight": 2.0}, "quantize_at, power_weight with"),
        ({"adversarial_at": 1.5}, "adversarial_at must be from 0 to 1"),
        ({"output_dir": "there/../here", "finetune_path": "here"}, "name another folder"),
    ],
)
def test_what_makes_no_sense_is_refused(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        adaptation(tmp_path, tmp_path / "origin", tmp_path / "codec", **change)


def test_the_command_names_a_codec_that_is_missing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = corpus / "cuts.jsonl.gz"
    flags = ("--train_manifest", manifest, "--eval_manifest", manifest)
    flags += ("--finetune_path", tmp_path / "none", "--output_dir", tmp_path / "codec")
    assert run("codec train", *flags) == 2
    assert "no codec at" in capsys.readouterr().err
