"""CosyVoice's command trains a flow, and a run that is started again continues."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sled.codec.flow.cosyvoice import CosyVoiceFlow, CosyVoiceFlowSizes
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow, CosyVoice2FlowSizes
from sled.codec.flow.encoder import EncoderSizes, UpsamplingSizes
from sled.codec.flow.files import load_flow
from sled.codec.flow.unet import UNetSizes
from sled.training.flow.trainer import FlowTrainer
from sled.training.tokens.average import main as average
from sled.training.tokens.cosyvoice_flags import train_published
from sled.training.vocoder import published
from sled.training.vocoder.run import VocoderRun
from tests.codec.flow.models import RECORDED
from tests.data.tokens.corpora import WIDTH
from tests.training.processes import die_in, run_ranks
from tests.training.tokens.published import make_setting, published_flags


def new_flow(speaker_size: int = WIDTH, vocab_size: int = 6561) -> CosyVoice2Flow:
    """A flow for the tiny corpora; with as many heads as published ones have."""
    torch.manual_seed(0)
    encoder = UpsamplingSizes(
        input_size=16,
        output_size=16,
        attention_heads=4,
        linear_units=24,
        num_blocks=1,
        num_up_blocks=1,
    )
    estimator = UNetSizes(
        channels=(24,), attention_head_dim=3, num_heads=8, n_blocks=1, num_mid_blocks=1
    )
    return CosyVoice2Flow(
        CosyVoice2FlowSizes(
            vocab_size=vocab_size,
            input_size=16,
            spk_embed_dim=speaker_size,
            encoder=encoder,
            estimator=estimator,
        )
    )


def test_the_configuration_tells_the_rate_of_the_tokens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    encoder = EncoderSizes(
        input_size=16, output_size=16, attention_heads=4, linear_units=24, num_blocks=1
    )
    estimator = UNetSizes(
        channels=(24, 24), attention_head_dim=3, num_heads=8, n_blocks=1, num_mid_blocks=1
    )
    sizes = {"vocab_size": 6561, "input_size": 16, "spk_embed_dim": WIDTH}
    flow = CosyVoiceFlow(CosyVoiceFlowSizes(**sizes, encoder=encoder, estimator=estimator))
    torch.save(flow.state_dict(), tmp_path / "flow.pt")
    setting = make_setting(tmp_path / "setting")
    config = setting / "cosyvoice.yaml"
    rate = "flow: !new:a.MaskedDiffWithXvec {input_frame_rate: 25}\n"
    config.write_text(config.read_text() + rate)
    changes = {"model": "flow", "checkpoint": tmp_path / "flow.pt", "config": config}
    output = train_published(published_flags(setting, tmp_path / "run", **changes))
    assert yaml.safe_load((output / "epoch_0_whole.yaml").read_text())["step"] > 0
    assert "tokens" not in caplog.text  # of recordings that are too short for them


def test_the_published_command_trains_a_flow(tmp_path: Path, capsys) -> None:
    setting = make_setting(tmp_path / "setting")
    start = tmp_path / "flow.pt"
    torch.save(new_flow().state_dict(), start)
    flags = published_flags(setting, tmp_path / "run", model="flow", checkpoint=start)
    output = train_published(flags)
    records = [yaml.safe_load((output / f"epoch_{n}_whole.yaml").read_text()) for n in range(2)]
    assert records[1]["loss_dict"]["loss"] < records[0]["loss_dict"]["loss"]
    assert records[1]["step"] > records[0]["step"] > 0
    averaged = tmp_path / "averaged.pt"
    average(["--dst_model", str(averaged), "--src_path", str(output), "--num", "2", "--val_best"])
    assert isinstance(load_flow(averaged), CosyVoice2Flow)
    taught = [*map(str, published_flags(setting, tmp_path / "taught", model="flow"))]
    taught += ["--checkpoint", str(start), "--teacher", str(averaged)]
    state = load_flow(train_published(taught) / "epoch_1_whole.pt").state_dict()
    recorded = load_flow(output / "epoch_1_whole.pt").state_dict()
    assert any(not one.equal(recorded[name]) for name, one in state.items())
    with pytest.raises(ValueError, match="--checkpoint"):
        train_published(published_flags(setting, tmp_path / "none", model="flow"))
    with pytest.raises(ValueError, match="--model hifigan begins"):
        train_published(published_flags(setting, tmp_path / "none", model="hifigan"))


def with_settings(setting: Path, *changes: tuple[str, str]) -> Path:
    """The configuration of a setting with other settings."""
    text = (setting / "cosyvoice2.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = setting / "changed.yaml"
    path.write_text(text)
    return path


def curves_of(folder: Path) -> dict[str, list[int]]:
    """The names of curves, and the steps of their points."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [one.step for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_published_files_of_a_flow_are_those_of_a_language_model(tmp_path: Path) -> None:
    """Curves, the first weights, checkpoints within an epoch, and the counts of a checkpoint."""
    setting, start = make_setting(tmp_path / "setting"), tmp_path / "flow.pt"
    torch.save(new_flow().state_dict(), start)
    more_steps = ("accum_grad: 2", "accum_grad: 1")
    changes = (("max_epoch: 2", "max_epoch: 1"), ("step: -1", "step: 2"), more_steps)
    config = with_settings(setting, *changes)
    run = {"model": "flow", "config": config}
    first = train_published(published_flags(setting, tmp_path / "one", checkpoint=start, **run))
    last = yaml.safe_load((first / "epoch_0_whole.yaml").read_text())
    steps = last["step"]
    assert steps >= 3
    within = [f"epoch_0_step_{step}" for step in range(2, steps + 1, 2)]
    tags = {"init", "epoch_0_whole", *within}
    assert {path.stem for path in first.glob("*.yaml")} == tags
    assert {path.stem for path in first.glob("*.pt")} == tags
    for tag in tags - {"init"}:
        record = yaml.safe_load((first / f"{tag}.yaml").read_text())
        assert record["loss_dict"]["loss"] > 0 and record["ddp.dist_backend"] == "gloo"
    begun = torch.load(first / "init.pt", weights_only=True)
    assert all(one.equal(begun[name]) for name, one in new_flow().state_dict().items())
    curves = curves_of(first / "curves")
    assert curves["TRAIN/loss"] == curves["TRAIN/lr"] == list(range(1, steps + 1))
    assert curves["CV/loss"] == [*range(2, steps + 1, 2), steps]
    # Another run goes on to count, so the learning rate goes on to fall.
    config = with_settings(setting, ("max_epoch: 2", "max_epoch: 2"))
    after = {"checkpoint": first / "epoch_0_whole.pt", "model": "flow", "config": config}
    second = train_published(published_flags(setting, tmp_path / "two", **after))
    assert {path.stem for path in second.glob("*.yaml")} == {"init", "epoch_1_whole"}
    more = yaml.safe_load((second / "epoch_1_whole.yaml").read_text())
    assert more["step"] > steps and more["epoch"] == 1
    # That of the next step.
    assert more["lr"] == pytest.approx(1e-3 * (2 / (more["step"] + 1)) ** 0.5)
    over = with_settings(setting, ("max_epoch: 2", "max_epoch: 1"))
    with pytest.raises(ValueError, match="raise max_epoch"):
        train_published(published_flags(setting, tmp_path / "no", **(after | {"config": over})))


VOCODER_SETTINGS = """train_conf_gan:
    optim: adam
    optim_conf:
        lr: 3e-4
        betas: [0.6, 0.95]
    optim_d: adamw
    optim_conf_d:
        lr: 1e-4
        eps: 1e-7
    save_per_step: 7
train_conf:"""


def prepared(setting: Path, tmp_path: Path, monkeypatch, **changes: object) -> VocoderRun:
    """The run of a vocoder that a command would make."""
    runs: list[VocoderRun] = []
    monkeypatch.setattr(published, "train_vocoder", runs.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # for pinned memory
    train_published(published_flags(setting, tmp_path / "run", **changes))
    return runs[0]


def test_a_vocoder_and_its_discriminator_have_their_own_settings(
    tmp_path: Path, monkeypatch
) -> None:
    setting = make_setting(tmp_path / "setting")
    config = with_settings(setting, ("train_conf:", VOCODER_SETTINGS))
    given = {"model": "hifigan", "checkpoint": RECORDED / "hift_24k", "config": config}
    run = prepared(setting, tmp_path, monkeypatch, **given)
    learner = run.learner
    [own], [other] = learner.optimizer.param_groups, learner.discriminator_optimizer.param_groups
    assert (own["lr"], own["betas"], own["weight_decay"]) == (3e-4, (0.6, 0.95), 0.0)
    assert (other["lr"], other["eps"], other["weight_decay"]) == (1e-4, 1e-7, 0.01)
    assert run.train_loader.loader.pin_memory and run.eval_loader.loader.pin_memory
    assert run.save_steps == 7 and run.record["save_per_step"] == 7


@pytest.mark.parametrize(
    ("model", "flags", "change", "problem"),
    [
        ("flow", ["--dpo"], None, "--dpo and --ref_model are for --model llm"),
        ("hifigan", ["--ref_model", "llm.pt"], None, "--ref_model are for --model llm"),
        ("hifigan", ["--teacher", "flow.pt"], None, "--teacher is for --model flow"),
        ("llm", ["--teacher", "flow.pt"], None, "--teacher is for --model flow"),
        ("hifigan", ["--train_engine", "deepspeed"], None, "torch_ddp, not deepspeed"),
        ("flow", ["--train_engine", "deepspeed"], None, "needs --deepspeed_config"),
        ("flow", [], ("lr: 1e-3", "amsgrad: True"), "amsgrad, which is not known"),
        ("llm", [], ("lr: 1e-3", "amsgrad: True"), "amsgrad, which is not known"),
        ("hifigan", [], ("save_per_step: 7", "scheduler: warmuplr"), "constantlr only"),
        ("hifigan", [], ("save_per_step: 7", "accum_grad: 2"), "has to be 1"),
    ],
)
def test_what_would_have_no_effect_is_refused(model, flags, change, problem, tmp_path) -> None:
    setting = make_setting(tmp_path / "setting")
    changes = [("train_conf:", VOCODER_SETTINGS)] if model == "hifigan" else []
    config = with_settings(setting, *changes, *([change] if change else []))
    start = RECORDED / ("hift_24k" if model == "hifigan" else "flow_v2")
    given = {"model": model, "config": config, "checkpoint": None if model == "llm" else start}
    with pytest.raises(ValueError, match=problem):
        train_published([*published_flags(setting, tmp_path / "run", **given), *flags])


def test_two_processes_continue_after_they_were_killed(tmp_path: Path) -> None:
    setting, start = make_setting(tmp_path / "setting"), tmp_path / "flow.pt"
    torch.save(new_flow().state_dict(), start)
    config = with_settings(setting, ("save_per_step: -1", "save_per_step: -1\n    prior_steps: 1"))
    outputs = [tmp_path / "whole", tmp_path / "killed"]
    changes = {"model": "flow", "checkpoint": start, "config": config}
    whole, killed = (published_flags(setting, output, **changes) for output in outputs)
    assert run_ranks(2, whole, script="train_cosyvoice") == [0, 0]
    die = partial(die_in, "_save_checkpoint", 2, FlowTrainer)
    assert -9 in run_ranks(2, killed, die, script="train_cosyvoice")
    assert not (outputs[1] / "epoch_1_whole.pt").exists()
    assert run_ranks(2, killed, script="train_cosyvoice") == [0, 0]
    ours, theirs = (
        torch.load(output / "epoch_1_whole.pt", weights_only=True) for output in outputs
    )
    assert ours["step"] > 1
    for name, one in ours.items():
        assert torch.as_tensor(one).equal(torch.as_tensor(theirs[name])), name
