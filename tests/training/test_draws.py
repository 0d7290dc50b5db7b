"""Frames that a model draws for recordings, and a decoder that learns to speak them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sled.codec import CodecParts, TokenChannel, add_token_channel, group_frames, load_codec
from sled.data.dataset import SpeechDataset, collate
from sled.data.draws import Draws, DrawsRecord, open_draws_folder, write_draws
from sled.data.latents import cache_codes, cut_codes, load_cached
from sled.data.manifests import load_cuts
from sled.decoding import DecodingOptions
from sled.layout import Layout
from sled.model import SpeechLlamaForCausalLM
from sled.training import draws as drawing
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.codec.data import SegmentSampler
from sled.training.draws import cache_draws, draw_along
from tests.commands import run
from tests.debug import (
    GOLDENS,
    HOP,
    SAMPLE_RATE,
    STREAM,
    debug_codec,
    debug_model,
    debug_tokenizer,
)
from tests.training.runs import TEXTS, align_evenly, make_corpus

OPTIONS = DecodingOptions(temperature=0.5, cfg=1.5, draws=3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, their codes, and a codec whose latents tell the token and are two frames."""
    folder = make_corpus(tmp_path_factory.mktemp("draws"))
    align_evenly(folder / "cuts.jsonl.gz", folder / "aligned.jsonl.gz")
    cache_codes(load_cuts(folder / "aligned.jsonl.gz"), debug_codec(), folder / "codes")
    group_frames(GOLDENS / "codec", 2, folder / "grouped")
    channel = TokenChannel.random(debug_tokenizer().vocab_size, width=6, norm=3.0)
    add_token_channel(folder / "grouped", channel, folder / "codec")
    return folder


def model_for(corpus: Path, **changes: Any) -> SpeechLlamaForCausalLM:
    return debug_model(vae_embed_dim=load_codec(corpus / "codec").latent_dim, **changes)


def draw_all(corpus: Path, output: Path, **changes: Any) -> Draws:
    arguments: dict[str, Any] = {"options": OPTIONS, "hours": 1.0} | changes
    codec, tokenizer = load_codec(corpus / "codec"), debug_tokenizer()
    model = model_for(corpus, **STREAM)
    cache_draws(model, codec, tokenizer, corpus / "codes", output, **arguments)
    return Draws(output)


def along(
    model: SpeechLlamaForCausalLM, corpus: Path, cuts: list[Any], layout: Layout, **changes: Any
) -> Tensor:
    codec = load_codec(corpus / "codec")
    dataset = SpeechDataset(debug_tokenizer(), codec, with_spoken_tokens=True)
    inputs = collate([dataset[cut] for cut in cuts])
    options = DecodingOptions(**({"temperature": 0.0, "cfg": 1.5} | changes))
    return draw_along(model, codec, inputs, layout, options, own_share=0.0)


@pytest.mark.parametrize("layout", [Layout(), Layout(3, 4)], ids=["offline", "stream"])
def test_a_clip_alone_and_in_a_batch_is_drawn_alike(corpus: Path, layout: Layout) -> None:
    model, cuts = model_for(corpus), list(load_cached(corpus / "codes"))
    together = along(model, corpus, cuts, layout)
    for row, cut in enumerate(cuts):
        alone = along(model, corpus, [cut], layout)[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, rtol=1e-4, atol=1e-5)
        assert (together[row, len(alone) :] == 0).all()


def test_frames_follow_from_the_recording_before_them_alone(corpus: Path) -> None:
    """Causality: what is said later changes nothing."""
    codec, model = load_codec(corpus / "codec"), model_for(corpus)
    dataset = SpeechDataset(debug_tokenizer(), codec, with_spoken_tokens=True)
    inputs = collate([dataset[next(iter(load_cached(corpus / "codes")))]])
    options = DecodingOptions(temperature=0.0, cfg=1.5)
    before = draw_along(model, codec, inputs, Layout(), options, own_share=0.0)
    inputs["speech"][0] = inputs["speech"][0].clone()
    inputs["speech"][0][:, 4:] = 0
    after = draw_along(model, codec, inputs, Layout(), options, own_share=0.0)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not after[:, 5].allclose(before[:, 5])


def test_every_clip_has_the_frames_that_its_codec_has(corpus: Path, tmp_path: Path) -> None:
    drawn = draw_all(corpus, tmp_path)
    assert len(drawn) == len(TEXTS)
    assert drawn.record.frames_per_latent == 2
    for cut in load_cached(corpus / "codes"):
        frames, count = drawn[cut.id], cut_codes(cut).shape[-1]
        assert frames.shape == (count + count % 2, 32)
        assert frames.dtype == torch.float16
        assert frames.isfinite().all()


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "CUTS_PER_FILE", 2)
    whole = draw_all(corpus, tmp_path / "whole")
    draw_all(corpus, tmp_path / "again")
    (tmp_path / "again" / "draws.000001.safetensors").unlink()
    with pytest.raises(ValueError, match=r"not complete: 1 of its 3 files"):
        Draws(tmp_path / "again")
    again = draw_all(corpus, tmp_path / "again")
    assert whole.keys() == again.keys()
    assert all(whole[cut_id].equal(again[cut_id]) for cut_id in whole)
    with pytest.raises(ValueError, match="or other settings: choose another folder"):
        draw_all(corpus, tmp_path / "again", seed=1)


def test_only_so_many_hours_are_drawn(corpus: Path, tmp_path: Path) -> None:
    assert len(draw_all(corpus, tmp_path / "some", hours=0.5 / 3600)) == 3
    with pytest.raises(ValueError, match=r"nothing of up to 0.1 s to draw for"):
        draw_all(corpus, tmp_path / "none", max_duration_s=0.1)


def made_draws(corpus: Path, folder: Path, drawn: dict[str, Tensor], **facts: Any) -> Path:
    """A folder of draws that no model made."""
    digest = load_codec(corpus / "codec").stored.digest()
    record = {"model_digest": "", "codec_digest": digest, "frames_per_latent": 2, "settings": ""}
    open_draws_folder(folder, DrawsRecord(**(record | {"num_files": 1} | facts)))
    write_draws(folder, 0, drawn)
    return folder


def loud(corpus: Path) -> dict[str, Tensor]:
    """The latents of the recordings, but eight times as large."""
    codec = debug_codec()
    return {
        cut.id: 8 * codec.codes_to_latents(cut_codes(cut)) for cut in load_cached(corpus / "codes")
    }


def adaptation(corpus: Path, output: Path, **changes: Any) -> CodecTrainingConfig:
    manifest = str(corpus / "cuts.jsonl.gz")
    settings: dict[str, Any] = {
        "train_manifest": manifest,
        "eval_manifest": manifest,
        "output_dir": str(output),
        "finetune_path": str(corpus / "codec"),
        "max_steps": 60,
        "batch_size": 4,
        "segment_s": 0.1,
        "adversarial_at": 1.0,
        "warmup_steps": 1,
        "learning_rate": 3e-3,
        "bf16": False,
        "max_eval_cuts": 2,
    }
    return CodecTrainingConfig(**(settings | changes))


def test_segments_come_with_the_frames_that_were_drawn_for_them(
    corpus: Path, tmp_path: Path
) -> None:
    """And with the level they have: the model that drew them heard that."""
    cuts = load_cuts(corpus / "cuts.jsonl.gz")
    codec = debug_codec()
    drawn = {}
    for cut in cuts:  # each frame is the power of what is spoken in it
        samples = torch.from_numpy(cut.load_audio()[0])
        frames = codec.num_frames(len(samples))
        samples = torch.nn.functional.pad(samples, (0, frames * HOP - len(samples)))
        drawn[cut.id] = samples.unflatten(0, (frames, HOP)).square().mean(-1, keepdim=True) * 100
    sampler = SegmentSampler(
        cuts,
        sample_rate=SAMPLE_RATE,
        segment_samples=7 * HOP,
        loudness_db=-10,
        loudness_jitter_db=4,
        max_cached_hours=1,
        draws=Draws(made_draws(corpus, tmp_path, drawn)),
        hop_length=HOP,
    )
    segments = sampler.batch(32, torch.Generator().manual_seed(0))
    assert segments.drawn is not None
    power = segments.waveforms.unflatten(-1, (7, HOP)).square().mean(-1) * 100
    torch.testing.assert_close(segments.drawn, power, rtol=2e-3, atol=2e-3)


def test_the_decoder_learns_to_speak_what_was_drawn(corpus: Path, tmp_path: Path) -> None:
    """Latents that no recording has, of which a decoder that only knows those makes too much."""
    folder = made_draws(corpus, tmp_path / "draws", loud(corpus))
    distances = {}
    for share in (0.0, 1.0):
        output = tmp_path / f"codec-{share}"
        changes = {"draws": str(folder), "drawn_share": share, "latent_noise": 0.0}
        trainer = CodecTrainer(adaptation(corpus, output, **changes))
        trainer.train()
        segments = trainer.sampler.batch(32, torch.Generator().manual_seed(9))
        with torch.no_grad():
            spoken = CodecParts.load(output).model.decoder(segments.drawn)
        waveforms = segments.waveforms
        distances[share] = float(trainer.learner.mel_distance(spoken[:, 0], waveforms[:, 0]))
    assert distances[1.0] < 0.8 * distances[0.0]


def test_draws_that_do_not_fit_are_refused(corpus: Path, tmp_path: Path) -> None:
    drawn = loud(corpus)
    other = made_draws(corpus, tmp_path / "other", drawn, codec_digest="another")
    with pytest.raises(ValueError, match="holds draws of another codec"):
        CodecTrainer(adaptation(corpus, tmp_path / "codec", draws=str(other)))
    short = made_draws(corpus, tmp_path / "short", {key: x[:-1] for key, x in drawn.items()})
    with pytest.raises(ValueError, match="frames, and .* were drawn for it"):
        CodecTrainer(adaptation(corpus, tmp_path / "codec", draws=str(short)))
    foreign = made_draws(corpus, tmp_path / "foreign", {"x" + key: x for key, x in drawn.items()})
    with pytest.raises(ValueError, match="the draws are of no clip of the manifest"):
        CodecTrainer(adaptation(corpus, tmp_path / "codec", draws=str(foreign)))
    with pytest.raises(ValueError, match="holds no draws"):
        CodecTrainer(adaptation(corpus, tmp_path / "codec", draws=str(tmp_path / "none")))
    (short / "draws.000000.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="cannot be read"):
        Draws(short)
    with pytest.raises(ValueError, match="draws are of a codec that is there"):
        adaptation(corpus, tmp_path / "codec", draws=str(other), finetune_path=None)
    with pytest.raises(ValueError, match="drawn_share must be from 0 to 1"):
        adaptation(corpus, tmp_path / "codec", draws=str(other), drawn_share=1.5)


def test_the_commands(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a checkpoint to a codec that speaks its frames."""
    model = model_for(corpus, speaking_draws=2, speaking_cfg=1.0, **STREAM)
    model.save_pretrained(tmp_path / "model")
    debug_tokenizer().save_pretrained(tmp_path / "model")
    source = ("--model", tmp_path / "model", "--codec", corpus / "codec")
    drawn = ("--codes", corpus / "codes", "--output_dir", tmp_path / "draws", "--device", "cpu")
    assert run("cache_draws", *source, *drawn) == 0
    assert "h of speech" in capsys.readouterr().out
    assert "cfg 1, temperature 1, draws 2" in Draws(tmp_path / "draws").record.settings
    manifest = corpus / "cuts.jsonl.gz"
    flags = ("--train_manifest", manifest, "--eval_manifest", manifest, "--bf16", "false")
    flags += ("--finetune_path", corpus / "codec", "--draws", tmp_path / "draws")
    flags += ("--output_dir", tmp_path / "codec", "--max_steps", 2, "--segment_s", 0.1)
    flags += ("--adversarial_at", 0, "--discriminator_filters", 2, "--device", "cpu")
    assert run("train_codec", *flags) == 0
    assert load_codec(tmp_path / "codec").digest() == load_codec(corpus / "codec").digest()

    other = CodecParts.load(GOLDENS / "codec")
    for level in other.model.quantizer.layers:
        level.codebook.embed.mul_(2)
    other.save(tmp_path / "other")
    shutil.rmtree(tmp_path / "draws")
    assert run("cache_draws", "--model", tmp_path / "model", "--codec", tmp_path / "other", *drawn)
    assert "was made with codec_digest" in capsys.readouterr().err
