"""Training runs on a corpus of a few clips: whole commands, from flags to a checkpoint."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from safetensors.torch import load_file

from sled import TTS, DecodingOptions
from sled.data.dataset import LengthGroupedBatchSampler
from sled.data.latents import cache_codes
from sled.data.manifests import load_cuts, save_cuts
from sled.model import SpeechLlamaForCausalLM
from sled.training.run import train
from tests.commands import run
from tests.debug import GOLDENS, SAMPLE_RATE, debug_codec, debug_tokenizer, debug_waveform

TEXTS = ["four two seven", "one", "nine one one", "two two", "seven four", "one nine"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "diffloss_d": 2,
    "diffloss_w": 24,
    "noise_channels": 8,
    "max_position_embeddings": 256,
}
PLAIN = {"training_cfg": 0.0, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A folder with `cuts.jsonl.gz`, the same `cached` as codes, and a `tokenizer`."""
    folder = tmp_path_factory.mktemp("corpus")
    cuts = []
    for index, text in enumerate(TEXTS):
        samples = debug_waveform(0.2 + 0.05 * index, seed=index)
        soundfile.write(folder / f"{index}.wav", samples, SAMPLE_RATE)
        recording = Recording.from_file(folder / f"{index}.wav", recording_id=f"clip-{index}")
        supervision = SupervisionSegment(
            f"clip-{index}", f"clip-{index}", 0.0, recording.duration, text=text
        )
        cuts.append(
            MonoCut(f"clip-{index}", 0.0, recording.duration, 0, [supervision], recording=recording)
        )
    save_cuts(CutSet.from_cuts(cuts), folder / "cuts.jsonl.gz")
    cache_codes(load_cuts(folder / "cuts.jsonl.gz"), debug_codec(), folder / "cached")
    debug_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def flags(corpus: Path, output: Path, **changes: Any) -> list[str]:
    """A command line: a model of debug size, two samples a step, nothing reported."""
    settings = (
        {
            "train_manifest": corpus / "cached",
            "tokenizer": corpus / "tokenizer",
            "codec": GOLDENS / "codec",
            "output_dir": output,
            "per_device_train_batch_size": 2,
            "max_steps": 3,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "use_cpu": True,
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }
        | SIZES
        | changes
    )
    return [word for flag, value in settings.items() for word in (f"--{flag}", str(value))]


def fit(corpus: Path, output: Path, **changes: Any) -> Path:
    return train(flags(corpus, output, **changes))


def logged(output: Path, key: str) -> list[float]:
    """A logged quantity, step by step."""
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [entry[key] for entry in history if key in entry]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


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


def test_cached_codes_train_as_audio_does(corpus, tmp_path):
    cached = fit(corpus, tmp_path / "cached")
    audio = fit(corpus, tmp_path / "audio", train_manifest=corpus / "cuts.jsonl.gz")
    assert logged(cached, "loss") == logged(audio, "loss")
    assert_same_weights(cached, audio)


@pytest.mark.parametrize("speech", ["cached", "cuts.jsonl.gz"])
def test_what_is_trained_on_is_the_codecs_latents(speech, corpus, tmp_path):
    """A new head says zero: |a - t| + |b - t| is twice the norm of the truth, over all frames."""
    changes = {"train_manifest": corpus / speech, "per_device_train_batch_size": len(TEXTS)}
    output = fit(corpus, tmp_path, **changes, **PLAIN)
    codec = debug_codec()
    files = [corpus / f"{index}.wav" for index in range(len(TEXTS))]
    clips = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files]
    latents = torch.cat([codec.codes_to_latents(codes) for codes in codec.encode(clips)])
    expected = 2 * latents.norm(dim=-1).mean().item()
    assert logged(output, "attraction")[0] == pytest.approx(expected, rel=1e-4)
    assert logged(output, "repulsion")[0] == 0


def test_a_trained_model_speaks(corpus, tmp_path):
    output = fit(corpus, tmp_path)
    tts = TTS.from_pretrained(output, codec=GOLDENS / "codec")
    options = DecodingOptions(min_frames=4, max_frames=10)
    assert tts.say("four two seven", options=options).seconds > 0


# transformers itself reads config.json as a configuration of no model, whose keys have moved on.
@pytest.mark.filterwarnings("ignore:`rope_scaling` is deprecated:FutureWarning")
@pytest.mark.parametrize("layout", [{}, {"stream_n": 3, "stream_m": 10}], ids=["offline", "stream"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(layout, corpus, tmp_path):
    """To the last bit, over an epoch's end, with all that is random in training switched on."""
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "history_noise": 0.2}
    whole = fit(corpus, tmp_path / "whole", **settings, **layout)
    resumed = tmp_path / "resumed"
    shutil.copytree(whole / "checkpoint-2", resumed / "checkpoint-2")
    fit(corpus, resumed, **settings, **layout)
    assert_same_weights(whole, resumed)
    assert logged(whole, "loss") == logged(resumed, "loss")


def test_every_epoch_is_batched_anew(corpus, tmp_path, monkeypatch):
    epochs = []
    monkeypatch.setattr(
        LengthGroupedBatchSampler, "set_epoch", lambda _, epoch: epochs.append(epoch)
    )
    fit(corpus, tmp_path, max_steps=9)  # of three steps an epoch
    assert sorted(set(epochs)) == [0, 1, 2]


def test_overwriting_starts_anew(corpus, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 1}
    fit(corpus, tmp_path / "run", **saving)
    again = fit(corpus, tmp_path / "run", **saving, overwrite_output_dir=True, seed=5)
    fresh = fit(corpus, tmp_path / "fresh", seed=5)
    assert_same_weights(again, fresh)


def test_an_offline_checkpoint_becomes_a_streaming_one(corpus, tmp_path):
    offline = fit(corpus, tmp_path / "offline")
    # At a learning rate of zero, only the layout changes.
    change = {"finetune_path": offline, "stream_n": 3, "stream_m": 10, "training_cfg": 0.2}
    still = fit(corpus, tmp_path / "still", **change, learning_rate=0.0)
    assert_same_weights(offline, still)
    config = SpeechLlamaForCausalLM.config_class.from_pretrained(still)
    assert (config.stream_n, config.stream_m, config.training_cfg) == (3, 10, 0.2)

    change["finetune_path"] = offline / "model.safetensors"  # the published flag names the file
    stream = fit(corpus, tmp_path / "stream", **change)
    assert not weights(stream)["z_proj.weight"].equal(weights(offline)["z_proj.weight"])


def test_a_share_of_streaming_batches_can_keep_the_offline_layout(corpus, tmp_path):
    """So that one checkpoint serves both. Nothing is learned here: only the layout differs."""
    still, streaming = {"max_steps": 12, "learning_rate": 0.0}, {"stream_n": 3, "stream_m": 10}
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


def test_finetuning_keeps_the_sizes_of_the_checkpoint(corpus, tmp_path):
    offline = fit(corpus, tmp_path / "offline")
    tuned = fit(corpus, tmp_path / "tuned", finetune_path=offline, hidden_size=64)
    assert SpeechLlamaForCausalLM.from_pretrained(tuned).config.hidden_size == 32


def test_finetuning_a_half_precision_checkpoint_trains_float32_weights(corpus, tmp_path):
    """What is shipped is half precision, in which small updates would be rounded away."""
    model = SpeechLlamaForCausalLM.from_pretrained(fit(corpus, tmp_path / "full"))
    model.half().save_pretrained(tmp_path / "half")
    tuned = fit(corpus, tmp_path / "tuned", finetune_path=tmp_path / "half")
    assert {tensor.dtype for tensor in weights(tuned).values()} == {torch.float32}


def test_batches_can_be_filled_by_frames(corpus, tmp_path):
    output = fit(corpus, tmp_path, max_frames_per_batch=80, num_train_epochs=1, max_steps=-1)
    losses = logged(output, "loss")
    assert 1 < len(losses) < len(TEXTS)  # several clips to a batch, yet not all


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_manifest": ""}, "--train_manifest is missing"),
        ({"tokenizer": ""}, "--tokenizer is missing"),
        ({"train_manifest": "/no/such.jsonl.gz"}, "no cut manifest at /no/such.jsonl.gz"),
        ({"stream_n": 3}, "stream_m=None"),
        ({"score_samples": 1}, "score_samples=1"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message, corpus, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(corpus, tmp_path, **changes)


def test_settings_are_checked_in_finetuning_too(corpus, tmp_path):
    offline = fit(corpus, tmp_path / "offline")
    with pytest.raises(ValueError, match="score_beta=3.0"):
        fit(corpus, tmp_path / "tuned", finetune_path=offline, score_beta=3.0)


def test_a_checkpoint_that_fits_neither_tokenizer_nor_codec_is_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match="300 tokens and latents of 32"):
        fit(corpus, tmp_path, finetune_path=GOLDENS / "offline")


# The scripts around it.


def test_the_scripts_go_from_recordings_to_a_shipped_model(corpus, tmp_path, capsys):
    manifest, codec = corpus / "cuts.jsonl.gz", GOLDENS / "codec"
    tokenizer = ("--vocab_size", 280, "--output_dir", tmp_path / "tokenizer")
    assert run("train_tokenizer", "--input", manifest, *tokenizer) == 0
    cache = ("--codec", codec, "--output_dir", tmp_path / "codes", "--device", "cpu")
    assert run("cache_latents", "--manifest", manifest, *cache) == 0
    paths = {"train_manifest": tmp_path / "codes", "tokenizer": tmp_path / "tokenizer"}
    assert run("train", *flags(corpus, tmp_path / "model", **paths)) == 0
    assert f"model saved in {tmp_path / 'model'}" in capsys.readouterr().out
    parts = ("--model", tmp_path / "model", "--codec", codec)
    assert run("export", *parts, "--output", tmp_path / "shipped") == 0

    shipped = weights(tmp_path / "shipped")
    assert {tensor.dtype for tensor in shipped.values()} == {torch.float16}
    speak = ("--model_name_or_path", tmp_path / "shipped", "--min_frames", 4)
    output = ("--input", "one", "--output", tmp_path / "out.wav")
    assert run("run_offline", *speak, *output) == 0
    assert soundfile.info(tmp_path / "out.wav").samplerate == SAMPLE_RATE


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--output", "out", "--model", "/no/such/model"),
        ("export", "--output", "out", "--model", "golden", "--codec", "/no/such/codec"),
        ("cache_latents", "--manifest", "/no/such.jsonl", "--codec", "a", "--output_dir", "out"),
        ("train", "--output_dir", "out"),
    ],
)
def test_their_bad_input_is_refused_in_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*command) == 2
    assert capsys.readouterr().err.count("\n") == 1
