"""Recorded outputs of the published implementation, and the tool that checks them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec import load_codec
from sled.decoding import DecodingOptions, Request, generate
from sled.model.registry import load_speech_lm, save_speech_lm
from tests.commands import run
from tests.debug import GOLDENS, debug_codec, debug_model, randn
from tests.oracles import noise_of, speak_slowly

Edit = Callable[[dict[str, Any], dict[str, Tensor]], object]


# The recordings, without the tool between.


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    return load_file(GOLDENS / "cases.safetensors")


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize(
    ("case", "cfg", "seed", "num_frames"),
    [("offline_cfg1", 1.0, 11, 40), ("offline_cfg2", 2.0, 12, 40), ("stream_cfg2", 2.0, 22, 243)],
)
def test_recorded_speech_is_reproduced(case, cfg, seed, num_frames, recorded):
    model = load_speech_lm(GOLDENS / case.split("_")[0])
    request = Request(recorded[f"{case}.input_ids"][0].tolist())
    options = DecodingOptions(
        cfg=cfg, stop_threshold=2.0, max_frames=num_frames, stop_before_text_end=True
    )
    spoken = generate(model, [request], torch.Generator().manual_seed(seed), options)[0]
    assert relative_error(spoken.units, recorded[f"{case}.latents"][0]) < 1e-5


@pytest.mark.parametrize("case", ["offline_loss_single", "stream_loss_text_longer_than_speech"])
def test_recorded_losses_are_reproduced(case, recorded):
    model = load_speech_lm(GOLDENS / case.split("_")[0])
    latents = recorded[f"{case}.codec_latents"]
    torch.manual_seed({"offline_loss_single": 31}.get(case, 33))
    output = model(
        recorded[f"{case}.input_ids"],
        recorded[f"{case}.attention_mask"],
        latents,
        torch.ones(latents.shape[:2], dtype=torch.long),
    )
    assert relative_error(output.hidden_states.detach()[None], recorded[f"{case}.hidden"]) < 1e-5
    assert relative_error(output.loss.detach()[None], recorded[f"{case}.loss"]) < 1e-5


def test_recorded_codec_output_is_reproduced(recorded):
    decoded = load_codec(GOLDENS / "codec").decode(recorded["codec.decode_in"].transpose(1, 2))
    assert relative_error(decoded[:, None], recorded["codec.decode_out"]) < 1e-5


# The tool.


def summary_of(printed: str) -> dict[str, Any]:
    return json.loads(printed.splitlines()[-1])


def test_the_tool_finds_every_case_within_tolerance(capsys):
    assert run("check", GOLDENS) == 0
    printed = capsys.readouterr().out
    cases = json.loads((GOLDENS / "cases.json").read_text())["cases"]
    names = [*cases, "codec_decode"]
    lines = printed.splitlines()[:-1]
    assert [line.split()[1] for line in lines] == names
    summary = summary_of(printed)
    assert (summary["cases"], summary["passed"], summary["failed"]) == (len(names), len(names), [])
    # One line a case with its worst error.
    assert max(float(line.split()[2]) for line in lines) == pytest.approx(
        summary["worst_relative_error"], rel=0.01
    )
    assert summary["worst_relative_error"] < 1e-5


def copy_of_goldens(folder: Path, case: str, edit: Edit) -> Path:
    """A folder of goldens with one case, edited."""
    shutil.copytree(GOLDENS, folder, ignore=shutil.ignore_patterns("cases.*"))
    settings = json.loads((GOLDENS / "cases.json").read_text())["cases"][case]
    tensors = {
        name: tensor
        for name, tensor in load_file(GOLDENS / "cases.safetensors").items()
        if name.startswith((f"{case}.", "codec."))
    }
    edit(settings, tensors)
    (folder / "cases.json").write_text(json.dumps({"cases": {case: settings}}))
    save_file(tensors, folder / "cases.safetensors")
    return folder


def scaled(name: str, factor: float) -> Edit:
    return lambda _, tensors: tensors.update({name: tensors[name] * factor})


def one_off(name: str) -> Edit:
    return lambda _, tensors: tensors[name].view(-1)[-1].add_(1)


BARELY_WRONG = 1 + 3e-5
WRONG = {
    "latents": ("offline_cfg2", scaled("offline_cfg2.latents", BARELY_WRONG)),
    "prompt": ("offline_clone_cfg1", scaled("offline_clone_cfg1.prompt_latents", 1.001)),
    "a frame less": ("stream_short_cfg2", lambda settings, _: settings.update(frames=63)),
    "noise": ("offline_cfg1", lambda settings, _: settings.update(noise_seed=99)),
    "tokens": ("stream_eos_cfg2", one_off("stream_eos_cfg2.tokens")),
    "text": ("offline_cfg1", one_off("offline_cfg1.input_ids")),
    "loss": ("offline_loss_single", scaled("offline_loss_single.loss", BARELY_WRONG)),
    "hidden": ("stream_loss_single", scaled("stream_loss_single.hidden", BARELY_WRONG)),
    "codes": ("stream_loss_single", one_off("stream_loss_single.codes")),
    "latents of codes": (
        "offline_loss_text_dropped",
        scaled("offline_loss_text_dropped.codec_latents", BARELY_WRONG),
    ),
    "gradients": (
        "offline_loss_single",
        lambda settings, _: settings["grad_norms"].update({"eos_head.weight": 1.0}),
    ),
    "not a number": ("offline_cfg1", scaled("offline_cfg1.latents", float("nan"))),
}


@pytest.mark.parametrize(("case", "edit"), WRONG.values(), ids=WRONG)
def test_the_tool_finds_what_is_wrong(case, edit, tmp_path, capsys):
    folder = copy_of_goldens(tmp_path / "goldens", case, edit)
    assert run("check", folder) == 1
    assert summary_of(capsys.readouterr().out)["failed"] == [case]


def test_the_tool_finds_wrong_audio(tmp_path, capsys):
    edit = scaled("codec.decode_out", BARELY_WRONG)
    folder = copy_of_goldens(tmp_path / "goldens", "offline_cfg1", edit)
    assert run("check", folder) == 1
    assert summary_of(capsys.readouterr().out)["failed"] == ["codec_decode"]


def test_the_tool_passes_an_unedited_copy(tmp_path):
    folder = copy_of_goldens(tmp_path / "goldens", "offline_cfg1", lambda *_: None)
    assert run("check", folder) == 0


def test_the_tool_checks_models_of_other_sizes(tmp_path):
    """Grouped queries, another n and m; recorded from the slow definition."""
    model = debug_model(stream_n=3, stream_m=7, num_key_value_heads=2, noise_channels=8)
    folder = tmp_path / "goldens"
    save_speech_lm(model, folder / "stream")
    shutil.copytree(GOLDENS / "codec", folder / "codec")
    text = [0, 9, 8, 7, 6, 5, 2]
    latents, _ = speak_slowly(model, text, noise_of(5, 25), cfg=1.5)
    settings = {
        "kind": "generate",
        "mode": "stream",
        "cfg": 1.5,
        "noise_seed": 5,
        "prompt_frames": 0,
        "eos_disabled": True,
        "eos_threshold": 0.5,
        "frames": 25,
    }
    frames = randn(1, 4, 32)
    tensors = {
        "other.input_ids": torch.tensor([text]),
        "other.attention_mask": torch.ones(1, len(text), dtype=torch.long),
        "other.latents": latents[None],
        "other.tokens": torch.zeros(1, 25, dtype=torch.long),
        "codec.decode_in": frames.transpose(1, 2).contiguous(),
        "codec.decode_out": debug_codec().decode(frames)[:, None],
    }
    (folder / "cases.json").write_text(json.dumps({"cases": {"other": settings}}))
    save_file(tensors, folder / "cases.safetensors")
    assert run("check", folder) == 0


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda folder: shutil.rmtree(folder) or folder.mkdir(), "has no goldens"),
        (lambda folder: shutil.rmtree(folder), "has no goldens"),
        (lambda folder: (folder / "cases.json").write_text("{}"), "has no goldens"),
        (lambda folder: (folder / "cases.safetensors").unlink(), "has no goldens"),
        (lambda folder: (folder / "cases.safetensors").write_text("?"), "has no goldens"),
        (lambda folder: shutil.rmtree(folder / "codec"), "codec"),
        (lambda folder: shutil.rmtree(folder / "offline"), "offline"),
    ],
)
def test_a_folder_that_holds_no_goldens_is_refused(damage, word, tmp_path, capsys):
    folder = copy_of_goldens(tmp_path / "goldens", "offline_cfg1", lambda *_: None)
    damage(folder)
    assert run("check", folder) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert word in errors


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda settings, _: settings.update(kind="sing"), "'sing'"),
        (lambda settings, _: settings.pop("cfg"), "lacks 'cfg'"),
        (lambda _, tensors: tensors.pop("offline_cfg1.latents"), "lacks 'latents'"),
    ],
)
def test_a_case_that_cannot_be_run_is_refused(edit, word, tmp_path, capsys):
    folder = copy_of_goldens(tmp_path / "goldens", "offline_cfg1", edit)
    assert run("check", folder) == 2
    assert word in capsys.readouterr().err


# Goldens of speech-token models.


@pytest.mark.parametrize(
    ("name", "count"), [("tokens", 20), ("token-data", 16), ("token-flow", 27)]
)
def test_speech_token_models_and_their_data_agree_with_recordings(name, count, capsys):
    assert run("check", GOLDENS / name) == 0
    summary = summary_of(capsys.readouterr().out)
    assert (summary["passed"], summary["skipped"]) == (count, 0)
    # Waveforms agree to 1e-4, see `LOOSE`.
    assert summary["worst_relative_error"] < (1e-4 if name == "token-flow" else 1e-5)


def copy_of_token_goldens(folder: Path, case: str, edit: Edit, name: str = "tokens") -> Path:
    shutil.copytree(GOLDENS / name, folder)
    settings = json.loads((folder / "cases.json").read_text())["cases"][case]
    tensors = load_file(folder / "cases.safetensors")
    tensors = {name: one for name, one in tensors.items() if name.startswith(f"{case}.")}
    edit(settings, tensors)
    (folder / "cases.json").write_text(json.dumps({"cases": {case: settings}}))
    save_file(tensors, folder / "cases.safetensors")
    return folder


@pytest.mark.parametrize(
    ("case", "edit"),
    [
        ("ras", one_off("ras.tokens")),
        ("lm_v1_loss", scaled("lm_v1_loss.hidden", BARELY_WRONG)),
        ("lm_v1_loss", one_off("lm_v1_loss.lm_target")),
        ("lm_v1_prompt_ras", lambda settings, _: settings.update(seed=1)),
        ("lm_v2_bistream_loss", lambda settings, _: settings.update(bistream_draw=0.9)),
        ("lm_v2_bistream_ras", scaled("lm_v2_bistream_ras.logp", BARELY_WRONG)),
        ("lm_v2_dpo", scaled("lm_v2_dpo.intended_rejected_logps", BARELY_WRONG)),
        ("simple_lm_loss", lambda settings, _: settings.update(aux_loss=2.0)),
    ],
)
def test_the_tool_finds_what_is_wrong_with_speech_tokens(case, edit, tmp_path, capsys):
    folder = copy_of_token_goldens(tmp_path / "goldens", case, edit)
    assert run("check", folder) == 1
    assert summary_of(capsys.readouterr().out)["failed"] == [case]


@pytest.mark.parametrize(
    ("case", "edit"),
    [
        ("flow_v1_infer_cached", scaled("flow_v1_infer_cached.mel", BARELY_WRONG)),
        ("flow_v2_infer", scaled("flow_v2_infer.mel_chunks", BARELY_WRONG)),
        ("chunk_masks", one_off("chunk_masks.chunk4")),
        ("hift_24k_wav", scaled("hift_24k_wav.f0", BARELY_WRONG)),
    ],
)
def test_the_tool_finds_what_is_wrong_with_flows_and_vocoders(case, edit, tmp_path, capsys):
    folder = copy_of_token_goldens(tmp_path / "goldens", case, edit, "token-flow")
    assert run("check", folder) == 1
    assert summary_of(capsys.readouterr().out)["failed"] == [case]


@pytest.mark.parametrize(
    ("case", "edit"),
    [
        ("mel_24k", scaled("mel_24k.mel", BARELY_WRONG)),
        ("campplus_fbank", scaled("campplus_fbank.normalised", BARELY_WRONG)),
        ("resample_44100_24000", scaled("resample_44100_24000.out", BARELY_WRONG)),
        ("s3_v1_25hz_codes", one_off("s3_v1_25hz_codes.code_lens")),
        ("step_reshape", one_off("step_reshape.dual_tail")),
    ],
)
def test_the_tool_finds_what_is_wrong_with_data_of_speech_tokens(case, edit, tmp_path, capsys):
    folder = copy_of_token_goldens(tmp_path / "goldens", case, edit, "token-data")
    assert run("check", folder) == 1
    assert summary_of(capsys.readouterr().out)["failed"] == [case]


def test_parts_that_are_not_here_are_skipped_and_are_no_agreement(tmp_path, capsys):
    def edit(settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        settings.update(kind="something else")

    folder = copy_of_token_goldens(tmp_path / "goldens", "ras", edit)
    assert run("check", folder) == 1
    printed = capsys.readouterr().out
    assert "skip ras" in printed
    assert summary_of(printed)["skipped"] == 1


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda settings, _: settings.pop("seed"), "lacks 'seed'"),
        (lambda settings, _: settings.update(model="lm_v3"), "lm_v3"),
    ],
)
def test_a_case_of_speech_tokens_that_cannot_be_run_is_refused(edit, word, tmp_path, capsys):
    folder = copy_of_token_goldens(tmp_path / "goldens", "lm_v2_ras", edit)
    assert run("check", folder) == 2
    errors = capsys.readouterr().err
    assert word in errors
    assert errors.count("\n") == 1
