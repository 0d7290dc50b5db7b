"""Training runs on a corpus of a few clips: whole commands, from flags to a checkpoint."""

import json
import logging
import shutil
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sled import TTS, DecodingOptions
from sled.model.backbone import PackedSequences
from sled.model.config import Config
from sled.model.huggingface import SpeechLlamaForCausalLM
from tests.commands import run
from tests.debug import GOLDENS, HOP, SAMPLE_RATE, debug_codec
from tests.training.runs import (
    PLAIN,
    TEXTS,
    assert_same_weights,
    checkpoints,
    fit,
    flags,
    logged,
    weights,
)


def test_the_loss_of_a_few_clips_falls(corpus, tmp_path):
    changes = {"max_steps": 80, "learning_rate": 5e-3, "per_device_train_batch_size": 6}
    output = fit(corpus, tmp_path, **changes, **PLAIN)
    for part in ("score_loss", "stop_loss"):
        losses = logged(output, part)
        assert np.mean(losses[-5:]) < 0.6 * losses[0], part


def test_the_parts_of_the_loss_are_logged_for_training_and_evaluation(corpus, tmp_path):
    evaluation = {"eval_manifest": corpus / "cuts.jsonl.gz", "eval_strategy": "steps"}
    output = fit(corpus, tmp_path, **evaluation, eval_steps=1)
    for prefix in ("", "eval_"):
        loss, score, stop, attraction, repulsion = (
            np.array(logged(output, prefix + part))
            for part in ("loss", "score_loss", "stop_loss", "attraction", "repulsion")
        )
        assert len(loss) == 3
        np.testing.assert_allclose(loss, score + stop, rtol=1e-3)
        np.testing.assert_allclose(score, attraction - repulsion, rtol=1e-3)


def test_cached_codes_train_as_audio_does(corpus, pretrained, tmp_path):
    audio = fit(corpus, tmp_path, train_manifest=corpus / "cuts.jsonl.gz")
    assert logged(pretrained, "loss") == logged(audio, "loss")
    assert_same_weights(pretrained, audio)


@pytest.mark.parametrize("speech", ["cached", "cuts.jsonl.gz"])
def test_what_is_trained_on_is_the_codecs_latents(speech, corpus, tmp_path):
    """A new head outputs zero: |a - t| + |b - t| is twice the norm of the target, on average."""
    changes = {"train_manifest": corpus / speech, "per_device_train_batch_size": len(TEXTS)}
    output = fit(corpus, tmp_path, **changes, **PLAIN)
    codec = debug_codec()
    files = [corpus / f"{index}.wav" for index in range(len(TEXTS))]
    clips = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files]
    latents = torch.cat([codec.codes_to_units(codes) for codes in codec.encode(clips)])
    expected = 2 * latents.norm(dim=-1).mean().item()
    assert logged(output, "attraction")[0] == pytest.approx(expected, rel=1e-4)
    assert logged(output, "repulsion")[0] == 0


def test_a_trained_model_speaks(pretrained):
    tts = TTS.from_pretrained(pretrained, codec=GOLDENS / "codec")
    options = DecodingOptions(min_frames=4, max_frames=10)
    assert tts.say("four two seven", options=options).seconds > 0


def test_a_run_is_continued_even_under_the_published_flag_to_overwrite(corpus, tmp_path):
    """Repeating the published command after a crash must not lose the run."""
    saving = {"save_strategy": "steps", "save_steps": 1, "overwrite_output_dir": True}
    run = fit(corpus, tmp_path, **saving, max_steps=2)
    before = (run / "checkpoint-2" / "model.safetensors").stat().st_mtime_ns
    fit(corpus, tmp_path, **saving, max_steps=3)
    assert len(logged(run, "loss")) == 3
    assert (run / "checkpoint-2" / "model.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_is_left_alone(corpus, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="sled")
    run = fit(corpus, tmp_path, max_steps=2)
    before = (run / "model.safetensors").stat().st_mtime_ns
    fit(corpus, tmp_path, max_steps=2, learning_rate=1.0)
    assert f"{tmp_path} holds the model after all of its 2 steps: nothing to do" in caplog.text
    assert (run / "model.safetensors").stat().st_mtime_ns == before


def test_a_continued_run_saves_as_often_as_it_is_told_now(corpus, tmp_path):
    saving = {"save_strategy": "steps", "save_total_limit": 9}
    fit(corpus, tmp_path, **saving, save_steps=2, max_steps=2)
    fit(corpus, tmp_path, **saving, save_steps=1, max_steps=5)
    assert checkpoints(tmp_path) == [2, 3, 4, 5]


def test_the_best_checkpoint_is_kept_and_becomes_the_model(corpus, tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 2, "max_steps": 5}
    evaluation = {"eval_manifest": corpus / "cached", "eval_strategy": "steps", "eval_steps": 1}
    ever_worse = {"learning_rate": 1.0, "load_best_model_at_end": True}
    run = fit(corpus, tmp_path, **settings, **evaluation, **ever_worse)
    best = 1 + int(np.argmin(logged(run, "eval_loss")))
    assert best < 4
    assert checkpoints(run) == [best, 5]
    assert_same_weights(run, run / f"checkpoint-{best}")


def test_a_run_is_not_continued_with_other_batches(corpus, tmp_path):
    """It would not be known which samples were used."""
    fit(corpus, tmp_path, save_strategy="steps", save_steps=2, max_steps=2)
    changes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    expected = "--per_device_train_batch_size 2, not 1, --gradient_accumulation_steps 1, not 2"
    with pytest.raises(ValueError, match=expected):
        fit(corpus, tmp_path, max_steps=3, **changes)


def test_an_offline_checkpoint_becomes_a_streaming_one(corpus, pretrained, tmp_path):
    # At a learning rate of zero, only the layout changes.
    change = {"finetune_path": pretrained, "stream_n": 3, "stream_m": 10, "training_cfg": 0.2}
    still = fit(corpus, tmp_path / "still", **change, learning_rate=0.0)
    assert_same_weights(pretrained, still)
    config = Config.load(still)
    assert (config.architecture.stream_n, config.architecture.stream_m) == (3, 10)
    assert config.objective.training_cfg == 0.2

    change["finetune_path"] = pretrained / "model.safetensors"  # the published flag names the file
    stream = fit(corpus, tmp_path / "stream", **change)
    assert not weights(stream)["z_proj.weight"].equal(weights(pretrained)["z_proj.weight"])


def test_a_share_of_streaming_batches_can_keep_the_offline_layout(corpus, tmp_path):
    """The learning rate is 0 here, so only the layout differs."""
    # With their texts dropped, samples lie alike in both layouts.
    still = {"max_steps": 12, "learning_rate": 0.0, "training_cfg": 0.0}
    streaming = {"stream_n": 3, "stream_m": 10}
    offline = logged(fit(corpus, tmp_path / "offline", **still), "loss")
    stream, mixed, kept = (
        logged(
            fit(corpus, tmp_path / str(share), **still, **streaming, offline_share=share), "loss"
        )
        for share in (0.0, 0.5, 1.0)
    )
    assert kept == offline
    assert all(one != other for one, other in zip(offline, stream, strict=True))
    chosen = [stream[i] if stream[i] == mixed[i] else offline[i] for i in range(12)]
    assert mixed == chosen
    assert mixed not in (stream, offline)


def test_finetuning_keeps_the_sizes_of_the_checkpoint(corpus, pretrained, tmp_path):
    tuned = fit(corpus, tmp_path, finetune_path=pretrained, hidden_size=64)
    assert SpeechLlamaForCausalLM.from_pretrained(tuned).config.architecture.hidden_size == 32


def test_a_checkpoint_tells_the_length_of_what_it_was_trained_on(corpus, pretrained, tmp_path):
    """The lengths of pretraining count when fine-tuning is on shorter speech."""
    tuned = fit(corpus, tmp_path / "tuned", finetune_path=pretrained, max_duration_s=0.3)
    short = fit(corpus, tmp_path / "short", max_duration_s=0.3)
    assert [trained_s(folder) for folder in (pretrained, tuned, short)] == pytest.approx(
        [0.45, 0.45, 0.3], abs=HOP / SAMPLE_RATE
    )
    # One that does not tell, as those published, may have heard more than it is tuned on.
    published = shutil.copytree(pretrained, tmp_path / "published")
    config = json.loads((published / "config.json").read_text())
    del config["trained_frames"]
    (published / "config.json").write_text(json.dumps(config))
    assert trained_s(fit(corpus, tmp_path / "unmeasured", finetune_path=published)) is None


def trained_s(folder: Path) -> float | None:
    frames = Config.load(folder).speaking.trained_frames
    return None if frames is None else frames * HOP / SAMPLE_RATE


def test_finetuning_a_half_precision_checkpoint_trains_float32_weights(
    corpus, pretrained, tmp_path
):
    """Published weights are half precision, which would round small updates away."""
    model = SpeechLlamaForCausalLM.from_pretrained(pretrained)
    model.half().save_pretrained(tmp_path / "half")
    tuned = fit(corpus, tmp_path / "tuned", finetune_path=tmp_path / "half")
    assert {tensor.dtype for tensor in weights(tuned).values()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_gradient_checkpointing_changes_nothing_but_memory(corpus, pretrained, tmp_path):
    assert_same_weights(pretrained, fit(corpus, tmp_path, gradient_checkpointing=True))


def test_compiled_layers_train_alike(corpus, tmp_path, monkeypatch):
    """They are traced as for a compiler here, without the slow code generation."""
    compile_traced = partialmethod(torch.nn.Module.compile, backend="eager")
    # As in compiled layers: Adam makes much of how attention without padding is rounded.
    padded = property(lambda context: False, lambda context, one_by_one: None)
    monkeypatch.setattr(PackedSequences, "one_by_one", padded, raising=False)
    plain = weights(fit(corpus, tmp_path / "plain"))
    monkeypatch.setattr(torch.nn.Module, "compile", compile_traced)
    for name, weight in weights(fit(corpus, tmp_path / "traced", compile_layers=True)).items():
        torch.testing.assert_close(weight, plain[name], msg=name)


def test_all_can_be_bfloat16_but_the_codec(corpus, tmp_path):
    """A codec in bfloat16 would choose other codes: audio would give other weights than codes."""
    half = {"model_dtype": "bfloat16", "max_steps": 2}
    cached = fit(corpus, tmp_path / "cached", **half)
    audio = fit(corpus, tmp_path / "audio", train_manifest=corpus / "cuts.jsonl.gz", **half)
    assert_same_weights(cached, audio)
    assert {tensor.dtype for tensor in weights(audio).values()} == {torch.bfloat16}


def test_batches_can_be_filled_by_frames(corpus, tmp_path):
    output = fit(corpus, tmp_path, max_frames_per_batch=80, max_steps=12)
    first_epoch = [epoch for epoch in logged(output, "epoch") if epoch <= 1]
    assert 1 < len(first_epoch) < len(TEXTS)  # several clips to a batch, yet not all


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_manifest": []}, "--train_manifest is missing"),
        ({"max_steps": -1}, "--max_steps -1"),
        ({"model_dtype": "float16"}, "--model_dtype float16"),
        ({"tokenizer": ""}, "--tokenizer is missing"),
        ({"eval_strategy": "steps"}, "--eval_manifest is missing"),
        ({"finetune_path": "/no/such/model.safetensors"}, "no checkpoint at /no/such/model"),
        (
            {"max_duration_s": 0.1},
            "--max_duration_s 0.1 leaves no cut .*: they last 0.2 s",
        ),
        ({"no_such_flag": 1}, "unknown flags or values --no_such_flag 1"),
        ({"train_manifest": "/no/such.jsonl.gz"}, "no cut manifest at /no/such.jsonl.gz"),
        ({"stream_n": 3}, "stream_m=None"),
        ({"score_samples": 1}, "score_samples=1"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message, corpus, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(corpus, tmp_path, **changes)


def test_a_checkpoint_that_is_not_there_is_refused_before_anything_is_written(corpus, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint folder at no such"):
        fit(corpus, tmp_path / "out", finetune_path="no such")
    assert not (tmp_path / "out" / "codec").exists()


def test_settings_are_checked_in_finetuning_too(corpus, pretrained, tmp_path):
    with pytest.raises(ValueError, match="score_beta=3.0"):
        fit(corpus, tmp_path, finetune_path=pretrained, score_beta=3.0)


def test_a_checkpoint_that_fits_neither_tokenizer_nor_codec_is_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match="300 tokens and 75 units a second"):
        fit(corpus, tmp_path, finetune_path=GOLDENS / "offline")


# The scripts around it.


def test_the_scripts_go_from_recordings_to_a_shipped_model(corpus, tmp_path):
    manifest, codec = corpus / "cuts.jsonl.gz", GOLDENS / "codec"
    tokenizer = ("--vocab_size", 280, "--output", tmp_path / "tokenizer")
    assert run("tokenizer", "--input", manifest, *tokenizer) == 0
    cache = ("--codec", codec, "--output", tmp_path / "codes", "--device", "cpu")
    assert run("cache codes", "--manifest", manifest, *cache) == 0
    paths = {"train_manifest": tmp_path / "codes", "tokenizer": tmp_path / "tokenizer"}
    assert run("train", *flags(corpus, tmp_path / "model", **paths)) == 0
    parts = ("--model", tmp_path / "model", "--codec", codec)
    assert run("export", *parts, "--output", tmp_path / "shipped") == 0

    shipped = weights(tmp_path / "shipped")
    assert {tensor.dtype for tensor in shipped.values()} == {torch.float16}
    speak = ("--model_name_or_path", tmp_path / "shipped", "--min_frames", 4)
    output = ("--input", "one", "--output", tmp_path / "out.wav")
    assert run("speak", *speak, *output) == 0
    assert soundfile.info(tmp_path / "out.wav").samplerate == SAMPLE_RATE


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--output", "out", "--model", "/no/such/model"),
        ("export", "--output", "out", "--model", "golden", "--codec", "/no/such/codec"),
        ("cache codes", "--manifest", "/no/such.jsonl", "--codec", "a", "--output", "out"),
        ("train", "--output_dir", "out"),
    ],
)
def test_their_bad_input_is_refused_in_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*command) == 2
    assert capsys.readouterr().err.count("\n") == 1
