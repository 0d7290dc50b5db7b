"""Training of spectral codecs: the stages of a run, and whole runs on a tiny corpus."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet, SupervisionSegment
from torch import Tensor

from sled.codec import CodecParts, Group, load_codec
from sled.codec.spectral.network import Spectral
from sled.data.alignment.spoken_times import with_letters
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.letters import LetterTimes
from sled.training.codec.spectral import SpectralLearner
from tests.commands import run
from tests.debug import SAMPLE_RATE, randn
from tests.training.test_codec_training import dies_at, harmonic, make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    clips = [harmonic(pitch, 0.4) for pitch in (110, 140, 180, 230)]
    return make_corpus(tmp_path_factory.mktemp("corpus"), clips)


def tiny_config(corpus: str, output_dir: Path, **changes: Any) -> CodecTrainingConfig:
    config = CodecTrainingConfig(
        family="spectral",
        train_manifest=corpus,
        eval_manifest=corpus,
        output_dir=str(output_dir),
        latent_dim=8,
        decoder_width=12,
        decoder_blocks=1,
        discriminator_filters=2,
        max_steps=12,
        batch_size=2,
        segment_s=0.3,
        adversarial_at=0.7,
        warmup_steps=1,
        save_steps=5,
        eval_steps=6,
        logging_steps=2,
        max_eval_cuts=2,
        bf16=False,
    )
    return replace(config, **changes)


def learner(corpus: str, folder: Path, **changes: Any) -> SpectralLearner:
    made = CodecTrainer(tiny_config(corpus, folder, **changes)).learner
    assert isinstance(made, SpectralLearner)
    return made


def assert_same_tensors(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert got.keys() == wanted.keys()
    assert [name for name in got if not got[name].equal(wanted[name])] == []


class TestRuns:
    def test_learns(self, corpus: str, tmp_path: Path) -> None:
        trained = learner(corpus, tmp_path, learning_rate=1e-2)
        distances = [trained.train_step(0.0)["mel"] for _ in range(16)]
        assert distances[-1] < 0.7 * distances[0]

    def test_leaves_a_codec_with_standard_units(self, corpus: str, tmp_path: Path) -> None:
        config = tiny_config(corpus, tmp_path, max_steps=40, eval_steps=100, learning_rate=2e-3)
        trainer = CodecTrainer(config)
        trainer.train()
        codec = load_codec(tmp_path)
        assert (codec.frame_rate, codec.unit_shape, codec.sample_rate) == (18.75, (8,), SAMPLE_RATE)
        batch = trainer.sampler.batch(32, torch.Generator().manual_seed(5)).waveforms.squeeze(1)
        units = codec.codes_to_units(torch.stack(codec.encode(list(batch)))).flatten(0, 1)
        assert units.mean(0).abs().max() < 0.3
        assert units.std(0).max() < 1.2  # of those that vary, it is one
        assert units.std(0).mean() > 0.8

    @pytest.mark.parametrize("killed_at", [7, 11], ids=["first stage", "adversarial stage"])
    def test_a_killed_run_continues_as_if_it_had_not_been(
        self, corpus: str, tmp_path: Path, killed_at: int
    ) -> None:
        changes = {"adversarial_at": 0.6, "bottleneck": "kl"}
        whole = CodecTrainer(tiny_config(corpus, tmp_path / "whole", **changes))
        wanted = whole.train()
        killed = CodecTrainer(tiny_config(corpus, tmp_path / "killed", **changes))
        with dies_at(killed, step=killed_at), pytest.raises(KeyboardInterrupt):
            killed.train()
        again = CodecTrainer(tiny_config(corpus, tmp_path / "killed", **changes))
        again.resume()
        assert again.learner.step == killed_at // 5 * 5
        assert again.train().mel_distance == wanted.mel_distance
        for part in ("model", "average", "discriminator"):
            got, expected = (getattr(one.learner, part) for one in (again, whole))
            assert_same_tensors(got.state_dict(), expected.state_dict())

    def test_evaluations_do_not_disturb_a_run(self, corpus: str, tmp_path: Path) -> None:
        """In each of them, a codec is exported that can be used already."""
        runs = []
        for eval_steps in (2, 100):
            trainer = CodecTrainer(tiny_config(corpus, tmp_path / str(eval_steps), max_steps=5))
            trainer.config = replace(trainer.config, eval_steps=eval_steps)
            trainer.train()
            runs.append(trainer.learner.model.state_dict())
        assert_same_tensors(*runs)

    def test_a_codec_is_exported_in_the_first_stage(self, corpus: str, tmp_path: Path) -> None:
        trainer = CodecTrainer(tiny_config(corpus, tmp_path))
        trainer.learner.train_step(0.0)
        trainer.export()
        assert load_codec(tmp_path).decode(randn(1, 4, 8)).isfinite().all()

    def test_from_the_command_line(self, corpus: str, tmp_path: Path) -> None:
        status = run(
            *("codec", "train", "--family", "spectral", "--frame_rate", "25"),
            *("--train_manifest", corpus, "--eval_manifest", corpus, "-o", tmp_path / "codec"),
            *("--max_steps", "1", "--bf16", "false", "--segment_s", "0.2", "--batch_size", "1"),
            *("--decoder_width", "12", "--latent_dim", "32", "--max_eval_cuts", "1"),
        )
        assert status == 0
        codec = load_codec(tmp_path / "codec")
        assert (codec.frame_rate, codec.unit_shape) == (25.0, (32,))


class TestStages:
    def test_the_last_stage_moves_the_decoder_only(self, corpus: str, tmp_path: Path) -> None:
        trained = learner(corpus, tmp_path)
        for progress in (0.0, 0.4, 0.8):
            trained.train_step(progress)
        before = copy.deepcopy(trained.model.state_dict())
        losses = trained.train_step(0.9)
        assert losses.keys() == {"mel", "pitch", "adversarial", "feature", "discriminator"}
        for name, tensor in trained.model.state_dict().items():
            assert tensor.equal(before[name]) != name.startswith("decoder."), name

    def test_the_last_stage_begins_with_averaged_weights(self, corpus: str, tmp_path: Path) -> None:
        trained = learner(corpus, tmp_path, decoder_average=0.9)
        for _ in range(4):
            trained.train_step(0.1)
        averaged = trained.finished_model().state_dict()
        trained.train_step(0.8)
        encoder = trained.model.encoder.state_dict(prefix="encoder.")
        assert_same_tensors(encoder, {name: averaged[name] for name in encoder})

    @pytest.mark.parametrize(
        ("progress", "codec", "discriminator"),
        [
            (0.0, 4e-3, 2e-3),  # the peak
            (0.25, 2.5e-3, 2e-3),  # half way to the next rate
            (0.5, 1e-3, 2e-3),  # the discriminator joins
            (0.75, 0.5e-3, 1e-3),
            (1.0, 0.0, 0.0),
        ],
    )
    def test_rates(
        self, corpus: str, tmp_path: Path, progress: float, codec: float, discriminator: float
    ) -> None:
        trained = learner(
            corpus,
            tmp_path,
            adversarial_at=0.5,
            learning_rate=4e-3,
            adversarial_learning_rate=1e-3,
            discriminator_learning_rate=2e-3,
        )
        trained.train_step(progress)
        optimizers = trained.optimizer, trained.discriminator_optimizer
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert rates == pytest.approx([codec, discriminator], abs=1e-9)


class TestLosses:
    def test_smoothness_brings_neighbouring_latents_together(
        self, corpus: str, tmp_path: Path
    ) -> None:
        changes = []
        for weight in (0.0, 30.0):
            trained = learner(corpus, tmp_path, smoothness_weight=weight, learning_rate=5e-3)
            for _ in range(25):
                losses = trained.train_step(0.0)
            assert ("smoothness" in losses) == (weight > 0)
            with torch.no_grad():
                latents = trained.model.encoder(trained.draw_batch().waveforms)
            changes.append(float(latents.diff(dim=-1).square().mean()))
        assert changes[1] < 0.5 * changes[0]

    def test_optional_losses_and_discriminators_take_part(
        self, corpus: str, tmp_path: Path
    ) -> None:
        trained = learner(corpus, tmp_path, stft_weight=2.0, period_filters=1)
        assert len(trained.discriminator.periods) == 5
        assert trained.train_step(0.0).keys() == {"mel", "pitch", "stft"}
        assert trained.train_step(0.9).keys() >= {"mel", "stft", "adversarial"}

    def test_divergence_is_that_of_normal_distributions(self, corpus: str, tmp_path: Path) -> None:
        trained = learner(corpus, tmp_path, bottleneck="kl", kl_weight=0.5)
        outputs, losses = randn(2, 16, 5), dict[str, Tensor]()
        trained._sampled(outputs, losses)
        mean, log_variance = outputs.chunk(2, 1)
        posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        wanted = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0, 1))
        torch.testing.assert_close(losses["kl"], 0.5 * wanted.mean())

    def test_strong_divergence_leaves_nothing_in_the_latents(
        self, corpus: str, tmp_path: Path
    ) -> None:
        trained = learner(corpus, tmp_path, bottleneck="kl", kl_weight=100, learning_rate=1e-2)
        first = trained.train_step(0.0)["kl"]
        for _ in range(30):
            last = trained.train_step(0.0)["kl"]
        assert last < 0.05 * first


class TestLetters:
    @pytest.fixture(scope="class")
    def aligned(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        """Clips of two sounds, low and high, each of 0.2 s: aba, bab, aab, bba."""
        folder, sounds = tmp_path_factory.mktemp("aligned"), {"a": 110, "b": 330}
        texts = ("aba", "bab", "aab", "bba")
        clips = [np.concatenate([harmonic(sounds[x], 0.2) for x in text]) for text in texts]
        manifest = make_corpus(folder, clips)
        cuts = []
        for cut, text in zip(CutSet.from_file(manifest), texts, strict=True):
            cut.supervisions = [SupervisionSegment(cut.id, cut.recording_id, 0, cut.duration)]
            cuts.append(with_letters(cut, list(text), [0.2, 0.4, 0.6]))
        CutSet.from_cuts(cuts).to_file(manifest)
        return manifest

    @pytest.mark.parametrize(
        ("start_s", "end_s", "letters"),
        [
            (0.0, 0.6, [1, 2, 1]),
            (0.0, 0.1, []),  # the middle of the first is at 0.1 s
            (0.0, 0.11, [1]),
            (0.1, 0.31, [1, 2]),
            (0.31, 9.0, [1]),
        ],
    )
    def test_those_whose_middle_is_in_the_segment(
        self, aligned: str, start_s: float, end_s: float, letters: list[int]
    ) -> None:
        times = LetterTimes(list(CutSet.from_file(aligned)))
        assert times.alphabet == ["a", "b"]
        assert times.between(0, start_s, end_s).tolist() == letters

    def test_latents_come_to_tell_letters_apart(self, aligned: str, tmp_path: Path) -> None:
        """The head learns to read clips it is given whole, and the encoder learns with it."""
        changes = {"ctc_weight": 5.0, "mel_weight": 0.01, "learning_rate": 3e-3, "segment_s": 0.64}
        trained = learner(aligned, tmp_path, **changes)
        first = trained.train_step(0.0)["ctc"]
        for _ in range(40):
            last = trained.train_step(0.0)["ctc"]
        assert last < 0.5 * first

    def test_a_run_with_letters_continues(self, aligned: str, tmp_path: Path) -> None:
        config = tiny_config(aligned, tmp_path, ctc_weight=1.0)
        trainers = [CodecTrainer(config), CodecTrainer(config)]
        trainers[0].learner.train_step(0.0)
        trainers[0].save_state()
        trainers[1].resume()
        losses = [trainer.learner.train_step(0.1) for trainer in trainers]
        assert losses[0] == losses[1]
        assert "ctc" not in trainers[0].learner.train_step(0.8)  # the encoder is frozen

    def test_a_corpus_without_times_is_refused(self, corpus: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="ctc_weight needs the times of letters"):
            CodecTrainer(tiny_config(corpus, tmp_path, ctc_weight=1.0))


class TestAdaptation:
    @pytest.fixture
    def origin(self, corpus: str, tmp_path: Path) -> Path:
        trained = learner(corpus, tmp_path / "run")
        for _ in range(3):
            trained.train_step(0.0)
        CodecParts(trained.finished_model()).with_transforms(Group(2)).save(tmp_path / "origin")
        return tmp_path / "origin"

    def config(self, corpus: str, origin: Path, output: Path) -> CodecTrainingConfig:
        return CodecTrainingConfig(
            train_manifest=corpus,
            eval_manifest=corpus,
            output_dir=str(output),
            finetune_path=str(origin),
            max_steps=3,
            batch_size=2,
            segment_s=0.3,
            adversarial_at=0.0,
            max_eval_cuts=1,
            bf16=False,
        )

    def test_latents_stay_and_audio_changes(
        self, corpus: str, origin: Path, tmp_path: Path
    ) -> None:
        CodecTrainer(self.config(corpus, origin, tmp_path / "adapted")).train()
        before, after = load_codec(origin), load_codec(tmp_path / "adapted")
        assert after.digest() == before.digest()
        units = before.codes_to_units(before.encode([0.1 * randn(9000)])[0])[None]
        assert not torch.allclose(after.decode(units), before.decode(units))

    def test_it_continues_from_the_same_codec_only(
        self, corpus: str, origin: Path, tmp_path: Path
    ) -> None:
        config = self.config(corpus, origin, tmp_path / "adapted")
        CodecTrainer(config).save_state()
        CodecTrainer(config).resume()
        parts = CodecParts.load(origin)
        parts.model.get_buffer("mean").add_(1)
        parts.save(origin)
        with pytest.raises(ValueError, match="is not the codec that the run in"):
            CodecTrainer(config).resume()

    def test_the_decoder_hears_predictions(self, corpus: str, origin: Path, tmp_path: Path) -> None:
        config = replace(self.config(corpus, origin, tmp_path), predictions_share=1.0)
        units, waveforms = randn(2, 8, 6), 0.1 * randn(2, 1, 6 * 1280)
        model = CodecParts.load(origin).model
        assert isinstance(model, Spectral)
        segments = Segments(waveforms, units)
        trained = SpectralLearner(config, lambda: segments, torch.Generator(), model)
        torch.testing.assert_close(trained._latents(segments, {}), model.to_latents(units))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_codebooks": 4}, "num_codebooks: codecs of the family spectral have no such setting"),
        ({"frame_rate": 20.0}, "frame_rate 20: choose 12.5, 18.75, 25"),
        ({"frame_rate": float("nan")}, "frame_rate must be positive"),
        ({"segment_s": 0.1}, "segment_s must be at least 0.16, got 0.1"),
        ({"adversarial_at": 0.0}, "adversarial_at must be above 0"),
        (
            {"family": "encodec", "bottleneck": "kl"},
            "bottleneck: codecs of the family encodec have no",
        ),
        ({"family": "spectral", "finetune_path": "x"}, "family with finetune_path"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    needed = {"train_manifest": "a", "eval_manifest": "b", "output_dir": "c", "family": "spectral"}
    with pytest.raises(ValueError, match=message):
        CodecTrainingConfig(**(needed | changes))
