"""The training flags: the published ones work, and the others are reviewed."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from sled.training import published
from sled.training.arguments import SledTrainingArguments, make_parser, parse_flags
from sled.training.short_help import FIRST_FLAGS
from tests.commands import run_script
from tests.published import LIBRIHEAVY, LIBRIHEAVY_STREAM

RUNS = Path(__file__).parents[2] / "runs"
SCRIPTS = ["train", "train_libriheavy", "train_libriheavy_stream"]

# Reviewed: all flags that are not transformers', group by group, with their defaults.
OUR_FLAGS: dict[str, dict[str, Any]] = {
    "model": {
        "hidden_size": 1024,
        "intermediate_size": 2752,
        "num_hidden_layers": 12,
        "num_attention_heads": 16,
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "diffloss_d": 6,
        "diffloss_w": 1024,
        "noise_channels": 128,
        "head": "energy",
        "head_steps": 1,
        "conditions": [],
        # Unset: the checkpoint decides, or the defaults of a new model.
        "dropout": None,
        "attention_dropout": None,
        "activation_dropout": None,
        "training_cfg": None,
        "history_noise": None,
        "scheduled_sampling": None,
        "score": None,
        "score_beta": None,
        "score_samples": None,
        "noise_clamp": None,
        "time_sampling": None,
        "stream_n": None,
        "stream_m": None,
        "text_normalization": None,
        "distill_cfg": None,
        "finetune_path": None,
    },
    "adapters": {
        "lora_rank": 0,
        "lora_alpha": 32.0,
        "lora_dropout": 0.0,
        "lora_targets": [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ],
    },
    "data": {
        "recordings": None,
        "train_manifest": [],
        "train_weights": [],
        "eval_manifest": [],
        "data_path": None,
        "codec": None,
        "transforms": None,
        "tokenizer": None,
        "max_duration_s": None,
        "join_share": 0.0,
        "main_speaker": None,
        "max_joined_s": 15.0,
        "max_train_samples": None,
        "max_eval_samples": None,
    },
    "training": {
        "group_by_speech_length": True,
        "max_frames_per_batch": None,
        "max_seconds_per_batch": None,
        "quadratic_duration_s": None,
        "offline_share": 0.0,
        "alignment_weight": None,
        "alignment_layer": None,
        "aligner": None,
        "recognition_weight": 0.1,
        "recognition_s": 8.0,
        "token_channel_dropout": 0.2,
        "num_eval_utterances": 2,
        "compile_layers": False,
    },
    "run": {
        "model_dtype": "float32",
        "ema_decay": 0.0,
        "max_minutes": None,
        "training_minutes": None,
        "overwrite_output_dir": False,
    },
}
OUR_DEFAULTS_FOR_TRANSFORMERS = {
    "max_steps": 100_000,
    "remove_unused_columns": False,
    "ddp_find_unused_parameters": False,
}


def values(argv: list[str], **defaults: Any) -> dict[str, Any]:
    """All parsed flags of a command."""
    return vars(make_parser(defaults).parse_args(argv))


def test_our_flags_and_their_defaults_are_reviewed():
    groups = {group.title: group for group in make_parser()._action_groups}
    for title, flags in OUR_FLAGS.items():
        listed = {action.dest for action in groups[title]._group_actions}
        assert listed == flags.keys(), title
    expected = OUR_DEFAULTS_FOR_TRANSFORMERS
    for flags in OUR_FLAGS.values():
        expected = expected | flags
    assert {flag: values([])[flag] for flag in expected} == expected


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_its_flags_in_groups(script, capsys):
    assert run_script(script, "--help-all") == 0
    text = capsys.readouterr().out
    for title, flags in OUR_FLAGS.items():
        assert f"\n{title}:\n" in text
        assert [flag for flag in flags if f"--{flag} " not in text] == []
    assert "\ntraining, flags of transformers:\n" in text
    assert "--gradient_accumulation_steps" in text


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_help_is_short_and_names_the_long_one(script, capsys):
    assert run_script(script, "--help") == 0
    text = capsys.readouterr().out
    assert [flag for flag in FIRST_FLAGS if f"--{flag} " not in text] == []
    assert len(text.splitlines()) < 150
    assert "--gradient_accumulation_steps" not in text
    assert text.rstrip().endswith("more flags are explained by --help-all.")


def test_the_published_commands_are_taken_as_they_are():
    """Every flag with its value, in any notation."""
    pretraining, streaming = values(LIBRIHEAVY), values(LIBRIHEAVY_STREAM)
    assert pretraining["label_names"] == ["audio_inputs"]
    assert pretraining["learning_rate"] == 5e-4
    assert (pretraining["bf16"], pretraining["do_train"]) == (True, True)
    assert (pretraining["remove_unused_columns"], pretraining["disable_tqdm"]) == (False, True)
    assert (pretraining["max_steps"], pretraining["warmup_steps"]) == (300_000, 32_000)
    assert (streaming["stream_n"], streaming["stream_m"]) == (5, 45)
    assert (streaming["max_steps"], streaming["warmup_steps"]) == (100_000, 10_000)
    assert streaming["finetune_path"] == "./runs/libriheavy/checkpoint-300000/model.safetensors"


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        (LIBRIHEAVY, published.LIBRIHEAVY),
        (LIBRIHEAVY_STREAM, published.LIBRIHEAVY_STREAM),
    ],
    ids=["offline", "stream"],
)
def test_a_script_without_flags_is_the_published_command(command, defaults):
    written, silent = values(command), values([], **defaults)
    differences = {flag for flag in written if written[flag] != silent[flag]}
    # These change nothing here: nothing else can be done than to train and evaluate, ...
    assert differences == {"do_train", "do_eval", "label_names", "overwrite_output_dir"}


@pytest.mark.parametrize(
    ("name", "command"), [("libriheavy", LIBRIHEAVY), ("libriheavy_stream", LIBRIHEAVY_STREAM)]
)
def test_the_recipes_start_the_published_commands(name, command):
    """Only the paths of the data are added."""
    recipe = (RUNS / name / "run.sh").read_text().replace("\\\n", "")
    words = shlex.split(recipe[recipe.index(f"scripts/train_{name}.py") :])[1:]
    written, started = values(command), values(words)
    added = {flag for flag in written if written[flag] != started[flag]}
    assert added == {
        "train_manifest",
        "eval_manifest",
        "tokenizer",
        "codec",
        "max_eval_samples",
    }


def test_the_published_commands_make_valid_arguments(tmp_path):
    changes = ["--use_cpu", "--bf16", "False", "--output_dir", str(tmp_path)]
    _, _, _, args = parse_flags([*LIBRIHEAVY_STREAM, *changes])
    assert args.per_device_train_batch_size == 8
    assert args.do_eval
    assert not args.bf16


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_steps", "0"], "--max_steps 0"),
        (["--model_dtype", "float16"], "--model_dtype float16"),
        (["--lora_rank", "-1"], "--lora_rank -1"),
        (["--ema_decay", "1"], "--ema_decay 1"),
        (["--max_minutes", "0"], "--max_minutes 0"),
        (["--auto_find_batch_size"], "--auto_find_batch_size is not supported"),
        (["--enable_jit_checkpoint"], "--enable_jit_checkpoint is not supported"),
        (["--max_duration_s", "-1"], "--max_duration_s -1"),
        (["--join_share", "2"], "--join_share 2"),
        (["--alignment_weight", "-1"], "--alignment_weight -1"),
        (
            ["--max_frames_per_batch", "300", "--max_seconds_per_batch", "4"],
            "--max_frames_per_batch and --max_seconds_per_batch exclude each other",
        ),
        (["--eval", "steps"], "unknown flags or values --eval steps"),
    ],
)
def test_what_cannot_be_is_refused(flags, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        parse_flags(["--use_cpu", "--output_dir", str(tmp_path), *flags])


def test_one_process_does_not_take_all_gpus(monkeypatch, tmp_path):
    """transformers would use nn.DataParallel, which cannot split packed batches."""
    monkeypatch.setattr(SledTrainingArguments, "n_gpu", property(lambda args: 8))
    with pytest.raises(ValueError, match="torchrun --nproc_per_node 8"):
        parse_flags(["--use_cpu", "--output_dir", str(tmp_path)])
