"""Predictions of a model for recordings, and training of a codec's decoder on them."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sled.codec import Codec, CodecParts, Group, TokenChannel, load_codec
from sled.data.cache.codes import cache_codes, cut_codes, load_cached
from sled.data.cache.predictions import (
    Predictions,
    PredictionsRecord,
    claim_predictions,
    write_predictions,
)
from sled.data.dataset import SpeechDataset, collate
from sled.data.manifests import load_cuts
from sled.decoding import DecodingOptions
from sled.model.batch import SpeechBatch
from sled.model.layout import Layout
from sled.model.lm import SpeechLM
from sled.model.registry import save_speech_lm
from sled.training import predictions
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.codec.evaluation import Reconstruction, evaluate_codec, evaluate_predictions
from sled.training.codec.predictions import PredictionSampler, load_prediction_clips
from sled.training.predictions import cache_predictions, teacher_forced_latents
from tests.commands import run
from tests.debug import (
    GOLDENS,
    HOP,
    SAMPLE_RATE,
    STREAM,
    debug_checkpoint,
    debug_codec,
    debug_model,
    debug_tokenizer,
)
from tests.training.runs import TEXTS, align_evenly, make_corpus
from tests.training.test_codec_training import dies_at

OPTIONS = DecodingOptions(temperature=0.5, cfg=1.5, draws=3)
LAYOUTS = pytest.mark.parametrize("layout", [Layout(), Layout(3, 4)], ids=["offline", "stream"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, their codes, and a codec with a token channel that groups two frames."""
    folder = make_corpus(tmp_path_factory.mktemp("predictions"))
    align_evenly(folder / "cuts.jsonl.gz", folder / "aligned.jsonl.gz")
    cache_codes(load_cuts(folder / "aligned.jsonl.gz"), debug_codec(), folder / "codes")
    channel = TokenChannel.random(debug_tokenizer().vocab_size, width=6, norm=3.0)
    CodecParts.load(GOLDENS / "codec").with_transforms(Group(2), channel).save(folder / "codec")
    return folder


@cache
def codec_of(corpus: Path) -> Codec:
    return load_codec(corpus / "codec")


@cache
def model_for(corpus: Path) -> SpeechLM:
    codec = codec_of(corpus)
    sizes = {"vae_embed_dim": codec.unit_shape[0], "frame_rate": codec.frame_rate}
    return debug_model(**sizes, **STREAM)


def batch_of(corpus: Path, cuts: list[Any]) -> dict[str, Any]:
    dataset = SpeechDataset(debug_tokenizer(), codec_of(corpus), 0, 0, True)
    return collate([dataset[cut] for cut in cuts])


def predict(corpus: Path, inputs: dict[str, Any], layout: Layout, **changes: Any) -> Tensor:
    """Predict without own frames in the history and without noise."""
    options = DecodingOptions(**({"temperature": 0.0, "cfg": 1.5} | changes))
    codec = codec_of(corpus)
    return teacher_forced_latents(model_for(corpus), codec, inputs, layout, options, 0.0)


@LAYOUTS
def test_a_clip_alone_and_in_a_batch_is_the_same(corpus: Path, layout: Layout) -> None:
    cuts = list(load_cached(corpus / "codes"))
    together = predict(corpus, batch_of(corpus, cuts), layout)
    for row, cut in enumerate(cuts):
        alone = predict(corpus, batch_of(corpus, [cut]), layout)[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, rtol=1e-4, atol=1e-5)
        assert (together[row, len(alone) :] == 0).all()


@LAYOUTS
def test_frames_follow_from_the_recording_before_them_alone(corpus: Path, layout: Layout) -> None:
    """Causality: later frames have no influence."""
    inputs = batch_of(corpus, list(load_cached(corpus / "codes"))[:1])
    before = predict(corpus, inputs, layout)
    inputs["speech"][0] = inputs["speech"][0].clone()
    inputs["speech"][0][:, 4:] = 0
    after = predict(corpus, inputs, layout)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not after[:, 5].allclose(before[:, 5])


def test_guidance_leads_away_from_what_is_said_without_the_text(corpus: Path) -> None:
    """Compared with the states of two separate batches."""
    model, codec = model_for(corpus), codec_of(corpus)
    inputs = batch_of(corpus, list(load_cached(corpus / "codes"))[:1])
    assert codec.token_channel is not None
    latents = codec.token_channel.write(
        codec.codes_to_units(inputs["speech"][0])[None],
        inputs["spoken_ids"],
        inputs["spoken_tokens"],
    )
    mask = torch.ones(latents.shape[:2], dtype=torch.long)
    end = torch.tensor([[model.config.architecture.eos_token_id]])
    with torch.no_grad():
        texts = [(inputs["input_ids"], inputs["attention_mask"]), (end, torch.ones_like(end))]
        h, u = (
            model.predict(SpeechBatch(*text, latents, mask, Layout(), {}))[0][:-1] for text in texts
        )
        wanted = model.draw(
            u + 1.5 * (h - u), torch.zeros(len(h), model.config.architecture.noise_channels)
        )
    torch.testing.assert_close(predict(corpus, inputs, Layout())[0], wanted, rtol=1e-4, atol=1e-5)


def test_temperature_spreads_frames_and_draws_bring_them_together(corpus: Path) -> None:
    inputs = batch_of(corpus, list(load_cached(corpus / "codes"))[:1])

    def spread(**changes: Any) -> float:
        drawn = [predict(corpus, inputs, Layout(), **changes) for _ in range(12)]
        return float(torch.stack(drawn).std(0).mean())

    torch.manual_seed(0)
    assert spread(temperature=0.0) == 0
    assert 0 < spread(temperature=0.2) < 0.7 * spread(temperature=1.0)
    assert spread(temperature=1.0, draws=8) < 0.7 * spread(temperature=1.0)


def cache_all(corpus: Path, output: Path, **changes: Any) -> Predictions:
    settings: dict[str, Any] = {"hours": 1.0} | changes
    options = settings.pop("options", OPTIONS)
    codec, codes = codec_of(corpus), corpus / "codes"
    model = model_for(corpus)
    cache_predictions(model, debug_tokenizer(), codec, codes, output, options, **settings)
    return Predictions(output)


def test_every_clip_has_its_own_frames(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as its codes, plus the rest of the last group."""
    monkeypatch.setattr(predictions, "BATCH_SIZE", 4)
    monkeypatch.setattr(predictions, "MAX_OWN_SHARE", 0.0)
    options = DecodingOptions(temperature=0.0, cfg=1.5)
    frames = cache_all(corpus, tmp_path, options=options, offline_share=1.0)
    assert len(frames) == len(TEXTS)
    codec = codec_of(corpus)
    for cut in load_cached(corpus / "codes"):
        count = cut_codes(cut).shape[-1]
        assert frames[cut.id].shape == (count + count % 2, 32)
        assert frames.num_frames[cut.id] == len(frames[cut.id])
        alone = codec.to_stored(predict(corpus, batch_of(corpus, [cut]), Layout()))[0]
        torch.testing.assert_close(frames[cut.id].float(), alone, rtol=2e-3, atol=2e-3)


def test_layouts_take_turns(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BATCH_SIZE", 1)
    cuts = list(load_cached(corpus / "codes"))[:6]
    for share, wanted in ((0.0, 0), (0.5, 3), (1.0, 6)):
        batches = list(predictions._batches(cuts, Layout(3, 4), share))
        assert sum(layout.is_offline for _, layout in batches) == wanted
        assert sorted(cut.id for batch, _ in batches for cut in batch) == [cut.id for cut in cuts]


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "CUTS_PER_FILE", 2)
    whole = cache_all(corpus, tmp_path / "whole")
    parts = (model_for(corpus), debug_tokenizer(), codec_of(corpus))
    state = torch.get_rng_state()
    cache_predictions(*parts, corpus / "codes", tmp_path / "again", OPTIONS, hours=1.0)
    assert torch.get_rng_state().equal(state)  # the caller's randomness is not touched
    (tmp_path / "again" / "predictions.000001.safetensors").unlink()
    with pytest.raises(ValueError, match=r"not complete: 1 of its 3 files"):
        Predictions(tmp_path / "again")
    again = cache_all(corpus, tmp_path / "again")
    assert whole.keys() == again.keys()
    assert all(whole[cut_id].equal(again[cut_id]) for cut_id in whole)
    with pytest.raises(
        ValueError, match=r"made with cfg 1\.\d+, not 2.0, seed \d, not 1: continue"
    ):
        changed = DecodingOptions(temperature=0.5, cfg=2.0, draws=3)
        cache_all(corpus, tmp_path / "again", options=changed, seed=1)


def test_hours_are_taken_from_all_of_the_corpus(corpus: Path) -> None:
    """The corpus may be sorted by speaker."""
    cuts = load_cached(corpus / "codes").repeat(100)
    hours = sum(cut.duration for cut in cuts) / 3600
    taken = predictions._take_hours(cuts, hours / 4, seed=0)
    assert sum(cut.duration for cut in taken) / 3600 == pytest.approx(hours / 4, rel=0.25)
    assert {cut.supervisions[0].text for cut in taken} == set(TEXTS)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hours": 0.0}, "hours=0 must be above 0"),
        ({"hours": float("nan")}, "hours=nan must be above 0"),
        ({"hours": 1e-9}, "hours=1e-09 selects none"),
        ({"max_duration_s": -1.0}, "max_duration_s=-1 must be above 0"),
        ({"max_duration_s": 0.1}, "no cut of at most 0.1 s"),
        ({"offline_share": 1.5}, "offline_share=1.5 is a share"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    change: dict[str, Any], problem: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        cache_all(corpus, tmp_path, **change)


def made(corpus: Path, folder: Path, frames: dict[str, Tensor], **facts: Any) -> Path:
    """A folder of predictions that are given as tensors."""
    record: dict[str, Any] = {
        "model_digest": "",
        "codec_digest": codec_of(corpus).stored.digest(),
        "manifest_digest": "",
        "frames_per_latent": 2,
        "cfg": 1.0,
        "temperature": 1.0,
        "draws": 1,
        "offline_share": 0.5,
        "hours": 1.0,
        "max_duration_s": 12.0,
        "seed": 0,
        "num_files": 1,
    }
    claim_predictions(folder, PredictionsRecord(**(record | facts)))
    write_predictions(folder, 0, {cut_id: x.half() for cut_id, x in frames.items()})
    return folder


def loud(corpus: Path) -> dict[str, Tensor]:
    """Eight times the latents of the recordings."""
    codec = debug_codec()
    return {
        cut.id: 8 * codec.codes_to_units(cut_codes(cut)) for cut in load_cached(corpus / "codes")
    }


def adaptation(corpus: Path, output: Path, **changes: Any) -> CodecTrainingConfig:
    manifest = str(corpus / "cuts.jsonl.gz")
    settings: dict[str, Any] = {
        "train_manifest": manifest,
        "eval_manifest": manifest,
        "output_dir": str(output),
        "finetune_path": str(corpus / "codec"),
        "max_steps": 40,
        "batch_size": 4,
        "segment_s": 0.1,
        "adversarial_at": 1.0,
        "warmup_steps": 1,
        "learning_rate": 3e-3,
        "latent_noise": 0.0,
        "bf16": False,
        "max_eval_cuts": 2,
    }
    return CodecTrainingConfig(**(settings | changes))


def test_segments_come_with_the_frames_that_were_predicted_for_them(
    corpus: Path, tmp_path: Path
) -> None:
    """And with the original level, which the model has read."""
    cuts = load_cuts(corpus / "cuts.jsonl.gz")
    codec = debug_codec()
    frames = {}
    for cut in cuts:  # each frame is the power of what is spoken in it
        samples = torch.from_numpy(cut.load_audio()[0])
        count = codec.num_frames(len(samples))
        samples = torch.nn.functional.pad(samples, (0, count * HOP - len(samples)))
        frames[cut.id] = samples.unflatten(0, (count, HOP)).square().mean(-1, keepdim=True) * 100
    sampler = PredictionSampler(
        cuts,
        Predictions(made(corpus, tmp_path, frames)),
        HOP,
        sample_rate=SAMPLE_RATE,
        segment_samples=7 * HOP,
        loudness_db=-10,
        max_cached_hours=1,
    )
    segments = sampler.batch(32, torch.Generator().manual_seed(0))
    assert segments.predictions is not None
    power = segments.waveforms.unflatten(-1, (7, HOP)).square().mean(-1) * 100
    torch.testing.assert_close(segments.predictions, power, rtol=2e-3, atol=2e-3)


def test_the_decoder_learns_to_speak_what_was_predicted(corpus: Path, tmp_path: Path) -> None:
    """Predictions are out of the range of recordings, so that a decoder trained on those fails."""
    folder = made(corpus, tmp_path / "predictions", loud(corpus))
    distances, reported = {}, {}
    for share in (0.0, 1.0):
        output = tmp_path / f"codec-{share}"
        settings: dict[str, Any] = {"predictions": str(folder), "predictions_share": share}
        settings["learning_rate"] = 1e-3  # at which what is drawn hardly changes the distances
        trainer = CodecTrainer(adaptation(corpus, output, eval_predictions=str(folder), **settings))
        report = trainer.train()
        assert report.predictions is not None
        reported[share] = report.predictions.mel_distance
        segments = trainer.sampler.batch(32, torch.Generator().manual_seed(9))
        with torch.no_grad():
            spoken = CodecParts.load(output).model.decoder(segments.predictions)
        waveforms = segments.waveforms
        distances[share] = float(trainer.learner.mel_distance(spoken[:, 0], waveforms[:, 0]))
    assert distances[1.0] < 0.8 * distances[0.0]
    assert reported[1.0] < 0.8 * reported[0.0]


def test_frames_of_recordings_are_evaluated_as_recordings_are(corpus: Path, tmp_path: Path) -> None:
    """If the predictions are the codec's own latents, both distances are equal."""
    codec = debug_codec()
    frames = {cut.id: codec.codes_to_units(cut_codes(cut)) for cut in load_cached(corpus / "codes")}
    predictions = Predictions(made(corpus, tmp_path, frames))
    cuts = load_cuts(corpus / "cuts.jsonl.gz")
    clips = load_prediction_clips(cuts, predictions, HOP, SAMPLE_RATE, most=2)
    assert len(clips) == 2

    def reconstruct(waveform: Tensor) -> Reconstruction:
        units = codec.codes_to_units(codec.encode([waveform])[0])[None]
        return Reconstruction(codec.decode(units)[0, : len(waveform)], units, units)

    where = SAMPLE_RATE, codec.device
    predicted = evaluate_predictions(lambda frames: codec.decode(frames[None])[0], clips, *where)
    own = evaluate_codec(reconstruct, [clip for clip, _ in clips], *where)
    assert predicted.mel_distance == pytest.approx(own.mel_distance, rel=1e-3)  # float16 frames
    for (recording, spoken), (original, decoded) in zip(predicted.pairs, own.pairs, strict=True):
        assert recording.equal(original)
        torch.testing.assert_close(spoken, decoded, rtol=1e-2, atol=1e-3)


def test_a_run_goes_on_with_the_same_frames_wherever_they_lie(corpus: Path, tmp_path: Path) -> None:
    frames = made(corpus, tmp_path / "predictions", loud(corpus))
    short: dict[str, Any] = {"max_steps": 4, "save_steps": 2}
    whole = CodecTrainer(adaptation(corpus, tmp_path / "whole", predictions=str(frames), **short))
    wanted = whole.train()
    killed = CodecTrainer(adaptation(corpus, tmp_path / "codec", predictions=str(frames), **short))
    with dies_at(killed, step=3), pytest.raises(KeyboardInterrupt):
        killed.train()
    moved = frames.rename(tmp_path / "moved")
    again = CodecTrainer(adaptation(corpus, tmp_path / "codec", predictions=str(moved), **short))
    assert again.train().mel_distance == wanted.mel_distance
    other = made(corpus, tmp_path / "other", loud(corpus), seed=1)
    with pytest.raises(ValueError, match=r"other settings \(predictions\)"):
        CodecTrainer(
            adaptation(corpus, tmp_path / "codec", predictions=str(other), **short)
        ).resume()


def test_frames_that_do_not_fit_are_refused(corpus: Path, tmp_path: Path) -> None:
    def refused(folder: Path, problem: str, **changes: Any) -> None:
        with pytest.raises(ValueError, match=problem):
            CodecTrainer(adaptation(corpus, tmp_path / "codec", predictions=str(folder), **changes))

    frames = loud(corpus)
    good = made(corpus, tmp_path / "good", frames)
    refused(good, "no clip lasts 3 s: lower --segment_s", segment_s=3.0)
    other = made(corpus, tmp_path / "other", frames, codec_digest="another")
    refused(other, "holds predictions for another codec")
    short = made(corpus, tmp_path / "short", {key: x[:-1] for key, x in frames.items()})
    refused(short, "frames, and .* were predicted for it")
    foreign = made(corpus, tmp_path / "foreign", {"x" + key: x for key, x in frames.items()})
    refused(foreign, "are of no clip of the manifest")
    refused(tmp_path / "none", "holds no predictions of a model")
    (short / "predictions.000000.safetensors").write_bytes(b"broken")
    refused(short, "cannot be read")
    (other / "predictions.json").write_text("{")
    refused(other, "holds no predictions of a model")
    refused(good, "predictions needs finetune_path", finetune_path=None)
    also: dict[str, Any] = {"finetune_path": None, "eval_predictions": str(good)}
    with pytest.raises(ValueError, match="eval_predictions needs finetune_path"):
        adaptation(corpus, tmp_path / "codec", **also)
    refused(good, "eval_predictions holds predictions for no clip", eval_predictions=str(foreign))
    refused(good, "predictions_share must be from 0 to 1", predictions_share=1.5)


def test_the_record_tells_all_that_decides_the_frames(corpus: Path, tmp_path: Path) -> None:
    record = cache_all(corpus, tmp_path, seed=3).record
    assert json.loads((tmp_path / "predictions.json").read_text()) == asdict(record)
    assert (record.cfg, record.temperature, record.draws, record.seed) == (1.5, 0.5, 3, 3)
    assert record.model_digest == model_for(corpus).digest()


def test_the_commands(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a checkpoint to a codec adapted to its predictions."""
    model = model_for(corpus)
    model.config.speaking.draws, model.config.speaking.cfg = 2, 1.0
    save_speech_lm(model, tmp_path / "model")
    debug_tokenizer().save_pretrained(tmp_path / "model")
    source = ("--model", tmp_path / "model", "--codec", corpus / "codec")
    target = (
        "--codes",
        corpus / "codes",
        "--output",
        tmp_path / "predictions",
        "--device",
        "cpu",
    )
    assert run("cache predictions", *source, *target, "--temperature", 0.5) == 0
    assert "h of speech" in capsys.readouterr().out
    record = Predictions(tmp_path / "predictions").record
    assert (record.cfg, record.temperature, record.draws) == (1.0, 0.5, 2)
    manifest = corpus / "cuts.jsonl.gz"
    flags = ("--train_manifest", manifest, "--eval_manifest", manifest, "--bf16", "false")
    flags += ("--finetune_path", corpus / "codec", "--predictions", tmp_path / "predictions")
    flags += ("--eval_predictions", tmp_path / "predictions")
    flags += ("--output_dir", tmp_path / "codec", "--max_steps", 2, "--segment_s", 0.1)
    flags += ("--adversarial_at", 0, "--discriminator_filters", 2, "--device", "cpu")
    assert run("codec train", *flags) == 0
    assert load_codec(tmp_path / "codec").digest() == codec_of(corpus).digest()

    narrow = debug_checkpoint(tmp_path / "narrow")
    assert run("cache predictions", "--model", narrow, "--codec", corpus / "codec", *target) == 2
    assert "use the codec the model was trained with" in capsys.readouterr().err
    other = CodecParts.load(corpus / "codec")
    for level in other.model.quantizer.layers:
        level.codebook.embed.mul_(2)
    other.save(tmp_path / "other")
    assert run("cache predictions", *source[:3], tmp_path / "other", *target) == 2
    assert "was made with codec_digest" in capsys.readouterr().err
