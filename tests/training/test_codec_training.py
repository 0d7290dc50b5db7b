"""The codec trainer: its parts against their definitions, and whole runs on a tiny corpus."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from lhotse import CutSet, MonoCut, Recording
from torch import Tensor
from transformers import EncodecModel

from sled.codec import load_codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.initialize import new_encodec
from sled.codec.encodec.network import Encodec
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.codec.data import SegmentSampler, level_db
from sled.training.codec.discriminator import (
    MultiDiscriminator,
    PeriodDiscriminator,
    SpectrogramDiscriminator,
)
from sled.training.codec.losses import (
    MelSpectrogram,
    MultiResolutionSTFTDistance,
    MultiScaleMelDistance,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from sled.training.codec.quantizer import CodebookLearner
from sled.training.codec.rescaling import (
    CONVOLUTIONS,
    initialize_variance,
    rescale_latents,
    rescale_waveforms,
)
from sled.training.codec.trainer import STATE_FILE
from tests.debug import SAMPLE_RATE, randn


def harmonic(pitch_hz: float, seconds: float) -> np.ndarray:
    """A buzz [S] that swells and fades, float32."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * k * pitch_hz * time) / k for k in range(1, 9))
    return (0.2 * buzz * np.hanning(len(time))).astype(np.float32)


def make_corpus(folder: Path, clips: list[np.ndarray]) -> str:
    """Write clips as a CutSet with paths relative to its folder."""
    cuts = []
    for index, clip in enumerate(clips):
        path = folder / f"{index}.wav"
        soundfile.write(path, clip, SAMPLE_RATE)
        recording = Recording.from_file(path, recording_id=str(index)).with_path_prefix(folder)
        recording.sources[0].source = path.name
        cuts.append(MonoCut(str(index), 0, recording.duration, channel=0, recording=recording))
    manifest = folder / "cuts.jsonl.gz"
    CutSet.from_cuts(cuts).to_file(manifest)
    return str(manifest)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    clips = [harmonic(pitch, 0.3) for pitch in (110, 140, 180, 230)]
    return make_corpus(tmp_path_factory.mktemp("corpus"), clips)


def tiny_config(corpus: str, output_dir: Path, **changes: Any) -> CodecTrainingConfig:
    config = CodecTrainingConfig(
        train_manifest=corpus,
        eval_manifest=corpus,
        output_dir=str(output_dir),
        num_filters=2,
        latent_dim=8,
        codebook_size=16,
        num_codebooks=4,
        discriminator_filters=2,
        max_steps=12,
        batch_size=2,
        segment_s=0.1,
        quantize_at=0.3,
        adversarial_at=0.7,
        warmup_steps=1,
        save_steps=5,
        eval_steps=6,
        logging_steps=2,
        max_eval_cuts=2,
    )
    return replace(config, **changes)


def tiny_model() -> Encodec:
    torch.manual_seed(0)
    return new_encodec(EncodecConfig(num_filters=2, hidden_size=8, codebook_size=16)).eval()


class TestQuantizer:
    def learner(self, levels: int = 2, **changes: Any) -> tuple[Encodec, CodebookLearner]:
        model = tiny_model()
        model.quantizer.layers = model.quantizer.layers[:levels]
        options = {"decay": 0.9, "generator": torch.Generator().manual_seed(0)} | changes
        options |= {"num_codebooks": levels}
        return model, CodebookLearner(model.quantizer, **options)

    def test_kmeans_finds_clusters(self) -> None:
        model, learner = self.learner()
        centres = 10 * randn(8, 8)
        points = centres.repeat(50, 1) + 0.01 * randn(400, 8, seed=1)
        learner.initialize(points)
        found = learner.quantize(points.T[None], update=False).latents[0].T
        assert (found - points).square().mean() < 1e-3
        assert torch.cdist(centres, model.quantizer.layers[0].codebook.embed).amin(1).max() < 0.1

    def test_agrees_with_what_transformers_decodes(self) -> None:
        model, learner = self.learner()
        latents = randn(2, 8, 30)
        learner.initialize(latents.transpose(1, 2).flatten(0, 1))
        result = learner.quantize(latents, update=False)
        sizes = {"num_filters": 2, "hidden_size": 8, "codebook_size": 16}
        oracle = EncodecModel(transformers.EncodecConfig(**sizes)).quantizer
        oracle.layers = oracle.layers[:2]
        oracle.load_state_dict(model.quantizer.state_dict())
        assert torch.equal(result.codes, oracle.encode(latents, bandwidth=0.6))
        torch.testing.assert_close(result.latents, oracle.decode(result.codes))

    def test_gradient_passes_straight_through(self) -> None:
        _, learner = self.learner()
        latents = randn(1, 8, 5).requires_grad_()
        learner.quantize(latents, update=False).latents.backward(randn(1, 8, 5, seed=1))
        torch.testing.assert_close(latents.grad, randn(1, 8, 5, seed=1))

    def test_commitment_is_the_error_relative_to_the_power(self) -> None:
        _, learner = self.learner(levels=1)
        latents = randn(1, 8, 50)
        result = learner.quantize(latents, update=False)
        error = (result.latents - latents).square().mean() / latents.square().mean()
        torch.testing.assert_close(result.commitment, error)

    def test_entries_move_to_the_mean_of_their_vectors(self) -> None:
        model, learner = self.learner(levels=1)
        model.quantizer.layers[0].codebook.embed[0] = 5.0
        near = 5.0 + 0.1 * randn(1, 8, 60)
        for _ in range(200):
            learner.quantize(near, update=True)
        used = model.quantizer.layers[0].codebook
        codes = used.encode(near[0].T)
        for entry in codes.unique():
            mean = near[0].T[codes == entry].mean(0)
            torch.testing.assert_close(used.embed[entry], mean, atol=1e-2, rtol=0)

    def test_unused_entries_come_back(self) -> None:
        _, learner = self.learner(levels=1)
        vectors = randn(1, 8, 200)
        codes = learner.quantize(vectors, update=True).codes  # all entries start in one place
        assert len(codes.unique()) == 1
        for _ in range(100):
            codes = learner.quantize(vectors, update=True).codes
        assert len(codes.unique()) >= 14


class TestLosses:
    def test_noise_reads_its_own_level_at_every_scale(self) -> None:
        noise = 0.1 * randn(1, SAMPLE_RATE)
        for scale in MultiScaleMelDistance(SAMPLE_RATE, floor=0.0).scales:
            # The mean magnitude of complex Gaussian bins of unit power is sqrt(pi) / 2.
            level = scale(noise).exp().mean() * 2 / np.pi**0.5
            assert level == pytest.approx(0.1, rel=0.1)

    def test_filters_cover_the_band(self) -> None:
        filters = MelSpectrogram(SAMPLE_RATE, 512, 64, floor=1.0).filters
        torch.testing.assert_close(filters.sum(0), torch.ones(64))
        assert (filters[1:-1].sum(1) > 0).all()

    def test_distance_grows_with_error_and_forgives_the_inaudible(self) -> None:
        distance = MultiScaleMelDistance(SAMPLE_RATE)
        speech = torch.from_numpy(harmonic(120, 0.3))[None]
        noise = randn(*speech.shape)
        far, near, inaudible = (distance(speech + r * noise, speech) for r in (0.1, 0.02, 1e-5))
        assert far > near > 0.1 > 0.01 > inaudible
        assert distance(speech, speech) == 0

    @pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
    def test_stft_distance_of_a_gain(self, gain: float) -> None:
        noise = 0.1 * randn(2, 4800)
        distance = MultiResolutionSTFTDistance(floor=1e-7)(gain * noise, noise)
        assert distance == pytest.approx(abs(gain - 1) + abs(np.log(gain)), abs=1e-3)

    @pytest.mark.parametrize(
        "distance", [MultiScaleMelDistance(SAMPLE_RATE), MultiResolutionSTFTDistance()]
    )
    def test_silence_has_a_gradient(self, distance: torch.nn.Module) -> None:
        output = torch.zeros(1, 4800, requires_grad=True)
        distance(output, 0.1 * randn(1, 4800)).backward()
        assert output.grad is not None and output.grad.isfinite().all()

    def test_both_sides_of_the_game(self) -> None:
        ones, zeros = [[torch.ones(2, 3)]], [[torch.zeros(2, 3)]]
        assert discriminator_loss(real=ones, fake=zeros) == 0
        assert discriminator_loss(real=zeros, fake=ones) == 2
        assert adversarial_loss(ones) == 0
        assert adversarial_loss(zeros) == 1

    def test_features_are_compared_relative_to_their_size(self) -> None:
        def judgements(scale: float, error: float) -> list[list[Tensor]]:
            return [[scale * (1 + error) * torch.ones(4), torch.zeros(1)]]

        for scale in (1.0, 100.0):
            loss = feature_loss(judgements(scale, 0), judgements(scale, 0.25))
            assert loss == pytest.approx(0.25)


class TestDiscriminators:
    @pytest.mark.parametrize("filters", [16, 24])
    def test_gradients_in_bfloat16_are_those_in_float32(self, filters: int) -> None:
        """They were NaN for 24 channels: see `SpectrogramDiscriminator`."""
        torch.manual_seed(0)
        judge, gradients = SpectrogramDiscriminator(256, filters), []
        for bf16 in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                verdict = judge(randn(2, 2400))[-1]
            judge.zero_grad()
            (verdict.float() - 1).square().mean().backward()
            gradients.append([parameter.grad.clone() for parameter in judge.parameters()])
        for exact, rounded in zip(*gradients, strict=True):
            assert (exact - rounded).norm() < 0.1 * exact.norm()

    def test_a_period_discriminator_keeps_phases_apart(self) -> None:
        judge = PeriodDiscriminator(period=3, filters=1)
        waveform = randn(1, 300)
        other = waveform.clone()
        other[:, 1::3] += 1  # the second of three phases
        for before, after in zip(judge(waveform), judge(other), strict=True):
            moved = (before - after).detach().abs().amax((0, 1, 2)) > 0
            assert moved.tolist() == [False, True, False]

    def test_all_of_them_judge(self) -> None:
        judgements = MultiDiscriminator(1, 1, windows=(256, 64), periods=(2, 3, 5))(randn(2, 1000))
        assert [layers[-1].shape[:2] for layers in judgements] == [(2, 1)] * 5
        assert len(MultiDiscriminator(1)(randn(2, 1000))) == 3


class TestSegments:
    def sampler(self, manifest: str, **changes: Any) -> SegmentSampler:
        folder = Path(manifest).parent
        cuts = CutSet.from_file(manifest).with_recording_path_prefix(folder)
        options = {"segment_samples": 2400, "loudness_db": -20, "loudness_jitter_db": 0}
        options |= {"sample_rate": SAMPLE_RATE, "max_cached_hours": 1} | changes
        return SegmentSampler(cuts, **options)

    @staticmethod
    def draw(sampler: SegmentSampler, seed: int = 0) -> Tensor:
        return sampler.batch(6, torch.Generator().manual_seed(seed)).waveforms

    def test_the_generator_decides_and_the_cache_does_not(self, corpus: str) -> None:
        batch = self.draw(self.sampler(corpus))
        assert batch.shape == (6, 1, 2400)
        assert torch.equal(batch, self.draw(self.sampler(corpus, max_cached_hours=0)))
        assert not torch.equal(batch, self.draw(self.sampler(corpus), seed=1))

    def test_clips_are_drawn_as_often_as_they_are_long(self, tmp_path: Path) -> None:
        lengths_s = [0.3, 0.1, 1.2, 0.4]
        sampler = self.sampler(make_corpus(tmp_path, [harmonic(100, one) for one in lengths_s]))
        generator = torch.Generator().manual_seed(0)
        drawn = np.bincount([sampler._draw(generator) for _ in range(4000)], minlength=4)
        # Five standard deviations of a binomial distribution are at most 0.04.
        np.testing.assert_allclose(drawn / 4000, np.array(lengths_s) / 2, atol=0.04)

    def test_there_may_be_more_clips_than_multinomial_takes(self, corpus: str) -> None:
        sampler, count = self.sampler(corpus), 2**24 + 5
        sampler._ends_s = torch.arange(1, count + 1, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        drawn = [sampler._draw(generator) for _ in range(400)]
        assert 0 <= min(drawn) < 0.05 * count and 0.95 * count < max(drawn) < count
        assert np.mean(drawn) == pytest.approx(count / 2, rel=0.15)

    def test_clips_come_at_one_loudness_and_never_overload(self, tmp_path: Path) -> None:
        quiet = make_corpus(tmp_path, [1e-2 * harmonic(100, 0.3)])
        whole = self.draw(self.sampler(quiet, segment_samples=7200))
        torch.testing.assert_close(level_db(whole), torch.full((6, 1), -20.0), atol=0.1, rtol=0)
        assert self.draw(self.sampler(quiet, loudness_db=10)).abs().max() <= 1

    def test_short_clips_are_followed_by_silence(self, corpus: str) -> None:
        batch = self.draw(self.sampler(corpus, segment_samples=9600))
        assert (batch[..., 7200:] == 0).all() and (batch[..., :7200] != 0).any()

    def test_silence_is_refused(self, tmp_path: Path) -> None:
        silent = make_corpus(tmp_path, [np.zeros(4800, np.float32)])
        with pytest.raises(ValueError, match="silent"):
            self.draw(self.sampler(silent))


def test_initialization_keeps_the_variance() -> None:
    model = tiny_model()
    waveforms = randn(4, 1, 6400)
    initialize_variance(model, waveforms)
    spreads = []
    for layer in (m for m in model.modules() if isinstance(m, CONVOLUTIONS)):
        layer.register_forward_hook(lambda _m, _i, output: spreads.append(float(output.std())))
    with torch.no_grad():
        model.decoder(model.encoder(waveforms))
    assert spreads == pytest.approx([1.0] * len(spreads), rel=1e-3)


@pytest.mark.parametrize("scale", [0.05, 3.7])
def test_rescaling_changes_latents_only(scale: float) -> None:
    model = tiny_model()
    waveform = 0.1 * randn(1, 1, 9600)
    initialize_variance(model, waveform)
    for level in model.quantizer.layers:
        level.codebook.embed.normal_(std=0.5)
    rescaled = copy.deepcopy(model)
    rescale_latents(rescaled, scale)
    with torch.no_grad():
        latents, rescaled_latents = model.encoder(waveform), rescaled.encoder(waveform)
        codes, rescaled_codes = (m.quantizer.encode(m.encoder(waveform)) for m in (model, rescaled))
        audio, rescaled_audio = (m.decoder(m.quantizer.decode(codes)) for m in (model, rescaled))
    torch.testing.assert_close(rescaled_latents, scale * latents, rtol=1e-4, atol=1e-5)
    assert torch.equal(codes, rescaled_codes)
    torch.testing.assert_close(rescaled_audio, audio, rtol=1e-4, atol=1e-5)


def test_rescaled_waveforms_go_in_and_come_out() -> None:
    model = tiny_model()
    waveform = 0.1 * randn(1, 1, 9600)
    initialize_variance(model, 10 * waveform)
    rescaled = copy.deepcopy(model)
    rescale_waveforms(rescaled, 10.0)
    with torch.no_grad():
        latents = model.encoder(10 * waveform)
        torch.testing.assert_close(rescaled.encoder(waveform), latents, rtol=1e-4, atol=1e-5)
        audio = model.decoder(latents) / 10
        torch.testing.assert_close(rescaled.decoder(latents), audio, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_scales_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        rescale_latents(tiny_model(), scale)


class TestRuns:
    def test_learns_and_leaves_a_codec_with_unit_latents(self, corpus: str, tmp_path: Path) -> None:
        config = tiny_config(corpus, tmp_path, max_steps=40, eval_steps=100, learning_rate=3e-3)
        trainer = CodecTrainer(config)
        first = trainer.learner.train_step(0.0)["mel"]
        report = trainer.train()
        assert report.mel_distance < 0.7 * first
        assert all(1 < used <= 16 for used in report.used_entries)

        codec = load_codec(tmp_path)
        assert (codec.num_codebooks, codec.codebook_size, codec.unit_shape) == (4, 16, (8,))
        segments = trainer.sampler.batch(64, torch.Generator().manual_seed(5))
        batch = segments.waveforms.squeeze(1)
        latents = codec.codes_to_units(torch.stack(codec.encode(list(batch))))
        assert latents.square().mean().sqrt() == pytest.approx(1.0, abs=0.25)

    def test_a_killed_run_continues_as_if_it_had_not_been(
        self, corpus: str, tmp_path: Path
    ) -> None:
        whole = CodecTrainer(tiny_config(corpus, tmp_path / "whole"))
        wanted = whole.train()
        killed = CodecTrainer(tiny_config(corpus, tmp_path / "killed"))
        with dies_at(killed, step=8), pytest.raises(KeyboardInterrupt):
            killed.train()
        again = CodecTrainer(tiny_config(corpus, tmp_path / "killed"))
        again.resume()
        assert again.learner.step == 5
        assert again.train().mel_distance == wanted.mel_distance
        for name, tensor in whole.learner.model.state_dict().items():
            assert torch.equal(tensor, again.learner.model.state_dict()[name]), name

    def test_the_last_stage_moves_the_decoder_only(self, corpus: str, tmp_path: Path) -> None:
        learner = CodecTrainer(tiny_config(corpus, tmp_path)).learner
        for progress in (0.0, 0.4, 0.8):
            learner.train_step(progress)
        before = copy.deepcopy(learner.model.state_dict())
        losses = learner.train_step(0.9)
        assert losses.keys() >= {"mel", "commitment", "adversarial", "feature", "discriminator"}
        for name, tensor in learner.model.state_dict().items():
            moved = not torch.equal(tensor, before[name])
            assert moved == name.startswith("decoder."), name

    def test_minutes_end_a_run_early(self, corpus: str, tmp_path: Path) -> None:
        trainer = CodecTrainer(tiny_config(corpus, tmp_path, max_minutes=1.0, max_steps=10**6))
        trainer.trained_s = 45.0
        assert trainer.progress == 0.75
        trainer.trained_s = 61.0
        assert trainer.progress == 1.0

    def test_settings_may_not_change_on_the_way(self, corpus: str, tmp_path: Path) -> None:
        CodecTrainer(tiny_config(corpus, tmp_path)).save_state()
        CodecTrainer(tiny_config(corpus, tmp_path, save_steps=7)).resume()
        with pytest.raises(ValueError, match="other settings .mel_weight"):
            CodecTrainer(tiny_config(corpus, tmp_path, mel_weight=1.0)).resume()

    def test_states_older_than_a_setting_still_load(self, corpus: str, tmp_path: Path) -> None:
        trainer = CodecTrainer(tiny_config(corpus, tmp_path))
        trainer.save_state()
        path = tmp_path / STATE_FILE
        state = torch.load(path, weights_only=True)
        del state["settings"]["waveform_weight"]
        torch.save(state, path)
        trainer.resume()
        with pytest.raises(ValueError, match="other settings .waveform_weight"):
            CodecTrainer(tiny_config(corpus, tmp_path, waveform_weight=1.0)).resume()

    def test_waveform_loss_joins_when_it_has_a_weight(self, corpus: str, tmp_path: Path) -> None:
        plain = CodecTrainer(tiny_config(corpus, tmp_path)).learner.train_step(0.0)
        weighed = CodecTrainer(tiny_config(corpus, tmp_path, waveform_weight=2.0))
        assert "waveform" not in plain
        assert weighed.learner.train_step(0.0)["waveform"] > 0

    def test_no_codec_before_its_codebooks(self, corpus: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no codebooks yet"):
            CodecTrainer(tiny_config(corpus, tmp_path)).export()


@contextmanager
def dies_at(trainer: CodecTrainer, step: int) -> Iterator[None]:
    """Let the trainer be interrupted when it is about to do this step."""
    live = trainer.learner.train_step

    def train_step(progress: float) -> dict[str, float]:
        if trainer.learner.step == step:
            raise KeyboardInterrupt
        return live(progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.learner, "train_step", train_step)
        yield


def test_bitrates_are_those_of_the_published_codec() -> None:
    config = CodecTrainingConfig(train_manifest="a", eval_manifest="b", output_dir="c")
    encodec = config.encodec_config()
    assert encodec.target_bandwidths == (1.5, 3.0, 6.0)
    assert (encodec.num_quantizers, encodec.hop_length, encodec.hidden_size) == (8, 320, 128)
    odd = replace(config, num_codebooks=3, codebook_size=16).encodec_config()
    assert odd.num_quantizers == 3


@pytest.mark.parametrize(
    "change", [{"codebook_size": 1000}, {"quantize_at": 0.9}, {"batch_size": 0}], ids=str
)
def test_impossible_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        CodecTrainingConfig(train_manifest="a", eval_manifest="b", output_dir="c", **change)
