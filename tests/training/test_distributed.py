"""Several processes compute what one does, and the published commands run under torchrun."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

import sled.training.run
from sled.model.backbone import DecoderLayer
from tests.commands import SCRIPTS, run
from tests.debug import GOLDENS
from tests.published import LIBRIHEAVY, LIBRIHEAVY_STREAM
from tests.training.callbacks.test_samples import evaluating, heard, read_events
from tests.training.processes import (
    ACCELERATE_CONFIGS,
    TIMEOUT_S,
    die_in,
    run_ranks,
    shard_on_cpu,
    share_noise,
)
from tests.training.runs import (
    PLAIN,
    SIZES,
    assert_same_weights,
    checkpoints,
    command_line,
    flags,
    logged,
    weights,
)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_two_processes_do_what_one_does_with_the_same_global_batch(accumulated, corpus, tmp_path):
    """For any lengths of samples: frames have equal weights in all processes."""
    settings = {
        "per_device_train_batch_size": 1,
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 1,
        # Its steps are proportional to gradients, and so are differences in rounding.
        "optim": "sgd",
        "learning_rate": 0.1,
        "eval_manifest": corpus / "cached",
        "eval_strategy": "steps",
        "eval_steps": 2,
        "per_device_eval_batch_size": 2,
    }
    outputs = {1: tmp_path / "one", 2: tmp_path / "two"}
    for processes, output in outputs.items():
        steps = {"gradient_accumulation_steps": 2 * accumulated // processes}
        command = flags(corpus, output, **settings, **steps, **PLAIN)
        assert run_ranks(processes, command, share_noise) == [0] * processes
    one, two = outputs.values()
    parts = ("loss", "score_loss", "stop_loss", "attraction", "repulsion", "grad_norm")
    for key in (*parts, "eval_loss", "eval_stop_error"):
        np.testing.assert_allclose(logged(two, key), logged(one, key), rtol=1e-4, err_msg=key)
    assert len(set(logged(one, "loss"))) == 4
    for step in (1, 4):
        theirs = weights(one / f"checkpoint-{step}")
        for name, ours in weights(two / f"checkpoint-{step}").items():
            torch.testing.assert_close(ours, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


def see_no_checkpoints() -> None:
    """Let the second process see an old state of the file system."""
    if os.environ["RANK"] == "1":
        setattr(sled.training.run, "checkpoint_to_continue", lambda *args: None)  # noqa: B010


def test_two_killed_processes_go_on_as_if_nothing_had_happened(corpus, tmp_path):
    """Bit-equal, with different noise on each process."""
    settings = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "dataloader_num_workers": 1,
        "max_steps": 5,
        "save_strategy": "steps",
        "save_steps": 2,
        "training_cfg": 0.3,
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_ranks(2, flags(corpus, whole, **settings)) == [0, 0]
    command = flags(corpus, killed, **settings)
    assert 0 not in run_ranks(2, command, partial(die_in, "training_step", 8))
    assert checkpoints(killed) == [2]
    assert run_ranks(2, command, see_no_checkpoints) == [0, 0]
    assert_same_weights(whole, killed)
    assert logged(whole, "loss") == logged(killed, "loss")

    files = [whole / "checkpoint-2" / f"rng_state_{rank}.pth" for rank in range(2)]
    first, second = (torch.load(file, weights_only=False)["cpu"] for file in files)
    assert not first.equal(second)


def test_one_of_two_processes_speaks_in_an_evaluation(corpus, tmp_path):
    argv = flags(corpus, tmp_path, per_device_train_batch_size=1, **evaluating(corpus))
    assert run_ranks(2, argv) == [0, 0]
    assert list(heard(read_events(tmp_path), "utterance_1/offline")) == [2, 4]


def test_fsdp_trains_as_ddp_does_and_goes_on(corpus, tmp_path):
    settings = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "max_steps": 4,
        "scheduled_sampling": 0.5,  # further passes, which read the sharded weights as well
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_manifest": corpus / "cached",
        "eval_strategy": "steps",
        "eval_steps": 2,
        "per_device_eval_batch_size": 5,  # of six: the other process has one
    }
    ddp, fsdp, resumed = (tmp_path / name for name in ("ddp", "fsdp", "resumed"))
    assert run_ranks(2, flags(corpus, ddp, **settings)) == [0, 0]
    assert run_ranks(2, flags(corpus, fsdp, **settings), shard_on_cpu) == [0, 0]
    assert (fsdp / "checkpoint-2" / "pytorch_model_fsdp.bin").is_file()
    for key in ("loss", "grad_norm", "eval_loss"):
        np.testing.assert_allclose(logged(fsdp, key), logged(ddp, key), rtol=1e-5, err_msg=key)
    for name, ours in weights(fsdp).items():
        torch.testing.assert_close(ours, weights(ddp)[name], rtol=1e-4, atol=1e-6, msg=name)

    shutil.copytree(fsdp / "checkpoint-2", resumed / "checkpoint-2")
    assert run_ranks(2, flags(corpus, resumed, **settings), shard_on_cpu) == [0, 0]
    assert_same_weights(fsdp, resumed)


def torchrun(script: str, argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a training command in two processes, as users do."""
    path = os.pathsep.join(filter(None, [str(SCRIPTS.parent), os.environ.get("PYTHONPATH")]))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *launcher, str(SCRIPTS / f"{script}.py"), *argv],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.parametrize("launcher", ["fork", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_the_published_commands_from_pretraining_to_speech(launcher, corpus, tmp_path):
    """Pretrain, get killed, continue, fine-tune to stream, speak: with all published flags."""
    changes: dict[str, Any] = {
        "train_manifest": corpus / "cached",
        "eval_manifest": corpus / "cached",
        "codec": GOLDENS / "codec",
        "tokenizer": corpus / "tokenizer",
        "use_cpu": True,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "dataloader_num_workers": 1,
        "warmup_steps": 2,
        "eval_steps": 2,
        "logging_steps": 1,
        "save_steps": 2,
    } | SIZES
    log, offline, stream = tmp_path / "log.txt", tmp_path / "offline", tmp_path / "stream"

    def pretraining(output: Path) -> list[str]:
        # Processors without bfloat16 take their time for it: fine-tuning below is enough.
        own = {"max_steps": 4, "output_dir": output, "bf16": False}
        return LIBRIHEAVY + command_line(changes | own)

    dying = partial(die_in, "training_step", 6)
    assert 0 not in run_ranks(2, pretraining(offline), dying, script="train_libriheavy")
    assert checkpoints(offline) == [2]
    if launcher == "torchrun":
        launched = torchrun("train_libriheavy", pretraining(offline), log)
        assert launched.wait(TIMEOUT_S) == 0, log.read_text()
        assert "continuing from" in log.read_text()
    else:
        assert run_ranks(2, pretraining(offline), script="train_libriheavy") == [0, 0]
    assert run_ranks(2, pretraining(tmp_path / "whole"), script="train_libriheavy") == [0, 0]
    assert_same_weights(tmp_path / "whole", offline)

    changes |= {"max_steps": 2, "stream_n": 3, "stream_m": 10, "output_dir": stream}
    changes |= {"finetune_path": offline / "checkpoint-4" / "model.safetensors"}
    command = LIBRIHEAVY_STREAM + command_line(changes)
    assert run_ranks(2, command, script="train_libriheavy_stream") == [0, 0]
    assert list(stream.glob("runs/*/events.*")), "TensorBoard shows nothing"
    speak = ("--codec", GOLDENS / "codec", "--input", "one two", "--min_frames", 4)
    output = ("--max_length", 60, "--output", tmp_path / "out.wav")
    assert run("stream", "--model_name_or_path", stream, *speak, *output) == 0
    assert soundfile.info(tmp_path / "out.wav").duration > 0


# The files for `accelerate launch`.


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ddp", DistributedType.MULTI_GPU),
        ("fsdp", DistributedType.FSDP),
        ("deepspeed_zero1", DistributedType.DEEPSPEED),
        ("deepspeed_zero2", DistributedType.DEEPSPEED),
    ],
)
def test_accelerate_understands_its_configuration_files(name, kind):
    config = load_config_from_file(str(ACCELERATE_CONFIGS / f"{name}.yaml"))
    assert config.distributed_type == kind
    assert config.num_processes == 8
    # The flags of the command decide these; here they could only contradict them.
    assert config.mixed_precision == "no"
    assert "gradient_accumulation_steps" not in config.deepspeed_config
    if name == "fsdp":
        assert config.fsdp_config["fsdp_version"] == 2
        assert config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] == DecoderLayer.__name__
        # Otherwise there is no model.safetensors in checkpoints.
        assert config.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    if kind == DistributedType.DEEPSPEED:
        assert f"zero{config.deepspeed_config['zero_stage']}" in name
