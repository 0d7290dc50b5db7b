"""What `sled train --recordings` does before it trains: from recordings to codes, step by step.

Each step is what a subcommand does: `sled prepare recordings`, `sled align`, `sled cache codes`,
`sled tokenizer` and `sled codec train`. Steps that are done are not repeated, unless recordings or
texts have changed.

    OUTPUT/data     manifests, and the list of recordings that were left out
    OUTPUT/codes    codes of the recordings
    OUTPUT/adapted  the codec, with its decoder adapted to the voice
    OUTPUT          the model, and the folder `codec` that it speaks with
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut

from sled.bundled import DEFAULT_MODEL, bundled_model
from sled.codec import Codec, load_codec
from sled.codec.folder import CodecParts
from sled.codec.spectral.network import Spectral
from sled.data.alignment import TrainingOptions, align_corpora
from sled.data.alignment.spoken_times import word_ends
from sled.data.cache.codes import cache_codes
from sled.data.cache.shards import has_record, read_record
from sled.data.corpora.detect import read_recordings
from sled.data.corpora.items import Item, Utterance, is_file
from sled.data.corpora.options import HELD_OUT_SPLIT, CorpusOptions
from sled.data.corpora.prepare import (
    manifest_path,
    prepare_corpus,
    rejected_path,
    report_path,
)
from sled.data.corpora.spoken import without_unspoken
from sled.data.manifests import fingerprint, load_cuts, read_texts, save_cuts, with_relative_audio
from sled.files.digest import source_of
from sled.files.json_object import read_json_object
from sled.files.whole import write_whole
from sled.loading import DEFAULT_CODEC
from sled.model.config import Config
from sled.text.tokenizer import TextTokenizer
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.parts import CODEC_FOLDER, start_folder

logger = logging.getLogger(__name__)

# In the place of a checkpoint: train a new model.
NO_CHECKPOINT = "none"
SPLITS = ("train", HELD_OUT_SPLIT)
# What a step was made from.
_SOURCES = "made_from.json"
# An empty file in a folder that is complete.
_DONE = "done"

# Of the recordings, one of this many is held out, and at most _MOST_HELD_OUT.
_HELD_OUT, _MOST_HELD_OUT = 20, 50
# Fine-tuning hears each recording about this many times, within limits.
_EPOCHS, _MIN_STEPS, _MAX_STEPS = 30, 200, 2000
_NEW_MODEL_STEPS = 20_000
# Seconds of speech per batch: on a CPU, more and smaller steps are better.
_BATCH_S = {"cpu": 16.0, "cuda": 40.0}
# The similarity of the voice hardly rises after this many steps of the codec's decoder.
_CODEC_STEPS = 300

_SCHEDULE: dict[str, Any] = {
    "learning_rate": 2e-4,
    "lr_scheduler_type": "linear",
    "weight_decay": 0.01,
    "adam_beta2": 0.98,
    "eval_strategy": "steps",
    "per_device_eval_batch_size": 8,
    "prediction_loss_only": True,
    "save_total_limit": 2,
    "offline_share": 0.5,
    "report_to": "none",
    "num_eval_utterances": 0,
}
# As runs/english trains its model on a CPU.
_NEW_MODEL: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "diffloss_d": 3,
    "diffloss_w": 512,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "history_noise": 1.0,
    "alignment_weight": 1.0,
    "stream_n": 12,
    "stream_m": 11,
    "learning_rate": 5e-4,
    "text_normalization": "english-phonemes",
}
_VOCAB_SIZE = 360
# Encodec has 75 latents a second, of which four make a frame. A spectral codec has 18.75 a
# second, which need neither groups nor whitening.
_ENCODEC_TRANSFORMS = "whiten,group:4,emphasize:8,token-channel:32"
_SPECTRAL_TRANSFORMS = "emphasize:12,token-channel:32:norm=6"


def defaults_for_recordings(flags: Namespace) -> dict[str, Any]:
    """Prepare recordings, and return the flags to train with that are not given.

    Args:
        flags: The flags of `sled train`; those that are not given are None.

    Raises:
        ValueError: If flags exclude each other, or the recordings cannot be used.
    """
    output = _check_flags(flags)
    is_new = flags.finetune_path == NO_CHECKPOINT
    start = None if is_new else start_folder(flags.finetune_path or DEFAULT_MODEL)
    normalization = flags.text_normalization or _NEW_MODEL["text_normalization"]
    if start is not None:
        normalization = Config.load(start).architecture.text_normalization
    codec = flags.codec or _codec_of(start)
    use_cuda = torch.cuda.is_available() and not flags.use_cpu
    device = "cuda" if use_cuda else "cpu"

    speech_s = _prepare(Path(flags.recordings), output, normalization)
    batch_s = _BATCH_S[device]
    steps = min(_MAX_STEPS, max(_MIN_STEPS, round(_EPOCHS * speech_s / batch_s)))
    steps = flags.max_steps or (_NEW_MODEL_STEPS if is_new else steps)
    _align(output / "data", normalization, speech_s, steps, device)
    _cache(output, codec, device)
    codec = _adapt(output, codec, min(_CODEC_STEPS, steps // 5), device)
    tokenizer = flags.tokenizer or _tokenizer(output, start, normalization)
    logger.info("6 of 6: train %s, %d steps", "a new model" if is_new else f"from {start}", steps)
    return {
        **_SCHEDULE,
        **({**_NEW_MODEL, "transforms": _transforms_for(codec)} if is_new else {}),
        "text_normalization": normalization if is_new else None,
        "finetune_path": None if start is None else str(start),
        "tokenizer": str(tokenizer),
        "codec": codec,
        "train_manifest": [str(output / "codes" / SPLITS[0])],
        "eval_manifest": [str(output / "codes" / SPLITS[1])],
        "max_steps": steps,
        "max_seconds_per_batch": None if flags.max_frames_per_batch else batch_s,
        "warmup_steps": min(50, steps // 10),
        "save_steps": max(1, min(250, steps // 4)),
        "eval_steps": max(1, min(250, steps // 4)),
        "bf16": use_cuda and torch.cuda.is_bf16_supported(including_emulation=False),
        "dataloader_pin_memory": use_cuda,
    }


def _check_flags(flags: Namespace) -> Path:
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError(
            "--recordings prepares data in one process: start it without torchrun, or prepare the "
            "data with the subcommands of docs/training.md and name it with --train_manifest"
        )
    if flags.train_manifest or flags.eval_manifest:
        raise ValueError("--recordings and --train_manifest exclude each other: give one")
    if flags.output_dir is None:
        raise ValueError("--output is missing: name the folder for the new model")
    if flags.finetune_path == NO_CHECKPOINT and flags.transforms == "none":
        raise ValueError("--transforms none: small models do not learn without, leave it out")
    return Path(flags.output_dir)


def _codec_of(start: Path | None) -> str:
    if start is None:
        bundled = bundled_model(DEFAULT_MODEL)
        assert bundled is not None
        return str(bundled.folder / CODEC_FOLDER)
    beside = [start / CODEC_FOLDER, start.parent / CODEC_FOLDER]
    return str(next((path for path in beside if path.is_dir()), DEFAULT_CODEC))


def _transforms_for(codec: str) -> str:
    """Return the transforms with which a small model learns a codec's latents."""
    model = CodecParts.load(codec).model
    return _SPECTRAL_TRANSFORMS if isinstance(model, Spectral) else _ENCODEC_TRANSFORMS


def _prepare(recordings: Path, output: Path, normalization: str | None) -> float:
    """Check the recordings and hold some out; returns their duration in seconds."""
    folder = output / "data"
    items = list(without_unspoken(read_recordings(recordings), normalization))
    if len(items) < 2:
        raise ValueError(f"{recordings} has {len(items)} recording: give at least ten")
    logger.info("1 of 6: prepare %d recordings of %s", len(items), recordings)
    options = CorpusOptions(
        valid_count=min(_MOST_HELD_OUT, max(1, len(items) // _HELD_OUT)),
        remedy=f"record more sentences, no two the same ({rejected_path(folder, SPLITS[0])} has "
        "what was left out)",
    )
    settings = {"recordings": str(recordings.absolute()), "files": _digest_files(items)}
    _forget_if_changed(output, settings)
    report = prepare_corpus(items, folder, options, settings, replace=True)
    speech_s = 3600 * sum(report.hours.values())
    logger.info(
        "%d recordings to train on and %d to evaluate, %.1f minutes",
        *(report.utterances[split] for split in SPLITS),
        speech_s / 60,
    )
    if report.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in report.rejected.items())
        logger.warning("left out: %s; see %s", reasons, rejected_path(folder, SPLITS[0]))
    return speech_s


def _digest_files(items: Iterable[Item]) -> str:
    """Digest of sizes and times of the audio files, which tell whether one has changed."""
    digest = hashlib.blake2b(digest_size=12)
    for item in items:
        if isinstance(item, Utterance) and is_file(item.audio):
            digest.update(f"{item.id!r} {source_of(item.audio)}\n".encode())
    return digest.hexdigest()


def _forget_if_changed(output: Path, settings: dict[str, str]) -> None:
    """Remove what was made from audio files that have changed since.

    Later steps see in manifests that texts or durations have changed, but not that a recording was
    repaired.

    Raises:
        ValueError: If the folder is that of other recordings.
    """
    report = report_path(output / "data", SPLITS[0])
    if not report.is_file():
        return
    earlier = {**settings, **read_json_object(report).get("settings", {})}
    if earlier["recordings"] != settings["recordings"]:
        raise ValueError(f"{output} was made of {earlier['recordings']}: name another --output")
    if earlier["files"] != settings["files"]:
        logger.info("recordings have changed since they were prepared: all steps are repeated")
        for path in (output / "data").glob("aligned*"):
            path.unlink()
        for name in ("codes", "adapted"):
            shutil.rmtree(output / name, ignore_errors=True)


def _align(
    folder: Path, normalization: str | None, speech_s: float, steps: int, device: str
) -> None:
    """Find the times of words, and leave out recordings for which there are none."""
    outputs = [folder / f"aligned_{split}.jsonl.gz" for split in SPLITS]
    logger.info("2 of 6: align texts with recordings")
    manifests = [load_cuts(manifest_path(folder, split)) for split in SPLITS]
    sources = {
        "recordings": [fingerprint(cuts) for cuts in manifests],
        "text_normalization": normalization,
    }
    record = folder / f"aligned.{_SOURCES}"
    if all(output.is_file() for output in outputs) and _is_made_from(record, sources):
        return
    max_steps = min(steps, 300 + round(400 * min(1.0, speech_s / 3600)))
    options = TrainingOptions(max_steps=max_steps)
    partial = [folder / f"all_{output.name}" for output in outputs]
    align_corpora(
        manifests, partial, text_normalization=normalization, options=options, device=device
    )
    for aligned, output in zip(partial, outputs, strict=True):
        cuts = list(load_cuts(aligned))
        timed = [cut for cut in cuts if word_ends(cut)]
        if len(timed) < len(cuts):
            logger.warning(
                "left out: %d of %d recordings do not match their texts: %s",
                len(cuts) - len(timed),
                len(cuts),
                ", ".join(sorted({cut.id for cut in cuts} - {cut.id for cut in timed})[:5]),
            )
        save_cuts(CutSet.from_cuts(_relative(timed, folder)), output)
    _write_sources(record, sources)


def _relative(cuts: list[Cut], folder: Path) -> Iterator[Cut]:
    return (with_relative_audio(cut, folder) for cut in cuts)


def _cache(output: Path, codec: str, device: str) -> None:
    logger.info("3 of 6: encode the recordings with %s", codec)
    loaded = load_codec(codec, device=device)
    for split in SPLITS:
        cuts = load_cuts(output / "data" / f"aligned_{split}.jsonl.gz")
        folder = output / "codes" / split
        if _holds_others(folder, cuts, loaded):
            logger.info("the codec or the recordings have changed: encode %s again", split)
            shutil.rmtree(folder)
        cache_codes(cuts, loaded, folder, codec_name=codec)


def _holds_others(folder: Path, cuts: CutSet, codec: Codec) -> bool:
    """Whether a folder of codes is of other recordings, or of another codec."""
    if not has_record(folder):
        return False
    record = read_record(folder)
    made_from = record.manifest_digest, record.codec_digest
    return made_from != (fingerprint(cuts)[1], codec.stored.digest())


def _adapt(output: Path, codec: str, steps: int, device: str) -> str:
    """Adapt the decoder of a codec to the voice, unless it is one that has heard many voices."""
    logger.info("4 of 6: adapt the codec to the voice, %d steps", steps)
    if not steps or codec == DEFAULT_CODEC:
        return codec
    folder = output / "adapted"
    train, valid = (str(output / "data" / f"aligned_{split}.jsonl.gz") for split in SPLITS)
    sources = {"codec": load_codec(codec).digest(), "recordings": fingerprint(load_cuts(train))}
    done, is_current = folder / _DONE, _is_made_from(folder / _SOURCES, sources)
    if done.is_file() and is_current:
        return str(folder)
    if not is_current:
        logger.info("the codec or the recordings have changed: adapt again")
        shutil.rmtree(folder)
    _write_sources(folder / _SOURCES, sources)
    config = CodecTrainingConfig(
        finetune_path=codec,
        output_dir=str(folder),
        train_manifest=train,
        eval_manifest=valid,
        max_steps=steps,
        logging_steps=max(1, steps // 20),
        segment_s=0.64,
        loudness_db=-25.0,
        loudness_jitter_db=8.0,
        latent_noise=0.1,
        adversarial_at=1.0,  # a discriminator takes most of the time, and is not needed
        bf16=False,
        device=device,
    )
    logger.info("%s", CodecTrainer(config).train())
    done.touch()
    return str(folder)


def _is_made_from(path: Path, sources: dict[str, Any]) -> bool:
    """Whether a step was made from these sources; also if nothing is written about them."""
    if not path.is_file():
        return True
    return bool(read_json_object(path) == json.loads(json.dumps(sources)))


def _write_sources(path: Path, sources: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(sources, indent=2) + "\n"
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _tokenizer(output: Path, start: Path | None, normalization: str | None) -> Path:
    if start is not None:
        logger.info("5 of 6: the tokenizer is that of %s", start)
        return start
    folder = output / "tokenizer"
    if (folder / _DONE).is_file():  # also if texts have changed: checkpoints know its tokens
        logger.info("5 of 6: the tokenizer is that of %s", folder)
        return folder
    logger.info("5 of 6: train a tokenizer")
    texts = read_texts(manifest_path(output / "data", SPLITS[0]))
    TextTokenizer.train(texts, _VOCAB_SIZE, 2, normalization).save_pretrained(folder)
    (folder / _DONE).touch()
    return folder
