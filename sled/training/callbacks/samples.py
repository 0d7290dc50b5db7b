"""Speech samples in TensorBoard at each evaluation, as audio and as pictures."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from sled.decoding import DecodingOptions, Request, TextTracker, generate
from sled.model.layout import Layout
from sled.model.lm import SpeechLM
from sled.training.checkpoints.lora import unwrap
from sled.training.codec.losses import MelSpectrogram
from sled.training.trainer import SledTrainer
from sled.training.units import speech_units

if TYPE_CHECKING:  # slow to import, and rarely needed
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

# Longest speech, relative to the recording.
_MAX_LENGTH_RATIO = 2

# Window in samples and number of mel bands of the pictures, and the magnitude that is black.
_WINDOW, _BANDS, _FLOOR = 1024, 80, 1e-3
_ROWS_PER_BAND = 2
# Colour map, evenly spaced: black, violet, red, orange, white.
_COLOURS = torch.tensor(
    [[0, 0, 4], [82, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]]
).div(255)


def show_samples(trainer: SledTrainer) -> None:
    """Add `SpeechSamples` to a trainer, if its flags ask for them and TensorBoard is used."""
    args = trainer.args
    if args.num_eval_utterances < 1 or trainer.eval_batches is None:
        return
    if "tensorboard" not in (args.report_to or []):
        logger.info("no speech samples at evaluations: they need --report_to tensorboard")
    elif trainer.shards_weights:
        logger.info("no speech samples at evaluations: no process has all of the weights")
    else:
        trainer.add_callback(SpeechSamples(trainer, args.num_eval_utterances))


@dataclass(frozen=True, eq=False)
class Reference:
    """An utterance of the evaluation corpus.

    Attributes:
        text: Its text.
        audio: [S] its recording, encoded and decoded by the codec: the best that a model can reach.
        num_frames: Its length.
        conditions: Its conditions by name.
    """

    text: str
    audio: Tensor
    num_frames: int
    conditions: Mapping[str, Tensor]


class SpeechSamples(TrainerCallback):
    """Speaks the first texts of the evaluation corpus at each evaluation.

    The noise is always the same, so only training makes a difference. Texts are spoken in the
    offline layout and, if the model has one, in its streaming layout. Training is not affected: no
    global random state is used, and the time does not count as training time.

    Args:
        trainer: The trainer of the model. Its first process speaks; the others wait.
        num_utterances: Number of texts.
    """

    def __init__(self, trainer: SledTrainer, num_utterances: int) -> None:
        self.trainer, self.num_utterances = trainer, num_utterances
        self._references: list[Reference] = []

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Write the samples of this step. transformers calls it after an evaluation."""
        start = time.perf_counter()
        writer = self._find_writer()
        if writer is not None:
            if not self._references:
                self._references = self._read_references()
                self._write_references(writer, state.global_step)
            if self._references:
                self._write_speech(writer, state.global_step)
            writer.flush()
        self.trainer.accelerator.wait_for_everyone()
        self.trainer.progress.pause(time.perf_counter() - start)

    def _find_writer(self) -> SummaryWriter | None:
        """The writer of transformers' own metrics, which only the first process has."""
        callbacks = self.trainer.callback_handler.callbacks
        return next((c.tb_writer for c in callbacks if isinstance(c, TensorBoardCallback)), None)

    def _read_references(self) -> list[Reference]:
        trainer = self.trainer
        assert trainer.eval_batches is not None, "there is nothing to speak"
        corpus = ((cut, trainer.train_dataset[cut]) for cut in trainer.eval_batches.open_epoch(0))
        positions = unwrap(trainer.model).config.architecture.max_position_embeddings
        speakable = ((c, sample) for c, sample in corpus if len(sample["input_ids"]) < positions)
        references = []
        for cut, sample in islice(speakable, self.num_utterances):
            units = speech_units(trainer.codec, [sample["speech"]])
            conditions = sample.get("conditions", {})
            audio = trainer.codec.decode(units)[0].cpu()
            text = cut.supervisions[0].text
            references.append(Reference(text, audio, units.shape[1], conditions))
        return references

    def _write_references(self, writer: SummaryWriter, step: int) -> None:
        for number, reference in enumerate(self._references, 1):
            writer.add_text(f"utterance_{number}/text", reference.text, step)
            self._write(writer, f"utterance_{number}/recording", reference.audio, step)

    def _write_speech(self, writer: SummaryWriter, step: int) -> None:
        model = unwrap(self.trainer.model)  # itself, whatever it is wrapped in for training
        longest = max(reference.num_frames for reference in self._references)
        options = DecodingOptions(
            # Guidance needs a model that was trained with dropped texts.
            cfg=2.0 if model.config.objective.training_cfg > 0 else 1.0,
            min_frames=1,
            max_frames=_MAX_LENGTH_RATIO * longest,
        )
        layouts = {"offline": Layout()}
        if not model.layout.is_offline:
            layouts["stream"] = model.layout
        was_training = model.training
        model.train(False)
        # Layers compiled for training are not recompiled for single frames.
        with torch.compiler.set_stance("force_eager"):
            for name, layout in layouts.items():
                for number, audio in enumerate(self._speak(model, options, layout), 1):
                    self._write(writer, f"utterance_{number}/{name}", audio, step)
        model.train(was_training)

    def _speak(self, model: SpeechLM, options: DecodingOptions, layout: Layout) -> list[Tensor]:
        """Waveforms [S] of the texts."""
        codec, tokenizer = self.trainer.codec, self.trainer.train_dataset.tokenizer
        requests = [
            Request(tokenizer.encode(one.text), conditions=one.conditions)
            for one in self._references
        ]
        generators = [torch.Generator().manual_seed(seed) for seed in range(len(requests))]
        tracker = None
        if codec.token_channel is not None:
            tracker = TextTracker(codec.token_channel, model.config)
        spoken = generate(model, requests, generators, options, layout, text_tracker=tracker)
        return [codec.decode(one.speech[None].to(codec.unit_dtype))[0].cpu() for one in spoken]

    def _write(self, writer: SummaryWriter, tag: str, audio: Tensor, step: int) -> None:
        """Write a waveform [S], and its picture under another tag, as TensorBoard requires."""
        rate = self.trainer.codec.sample_rate
        audio = audio.nan_to_num(posinf=0.0, neginf=0.0)  # from a diverged model
        writer.add_audio(tag, audio / audio.abs().max().clamp(min=1.0), step, sample_rate=rate)
        writer.add_image(f"{tag}_mel", mel_picture(audio, rate), step)


def mel_picture(waveform: Tensor, sample_rate: int) -> Tensor:
    """Log-mel picture of a waveform [S]: RGB in 0..1, [3, rows, columns].

    Low frequencies are at the bottom. Magnitudes range from 0.001 (black) to 1 (white); there is
    one column for every 256 samples.
    """
    # The transform reflects half a window at either end.
    waveform = F.pad(waveform, (0, max(0, _WINDOW - len(waveform))))
    log_mel = MelSpectrogram(sample_rate, _WINDOW, _BANDS, _FLOOR)(waveform[None])[0]
    level = (1 - log_mel / math.log(_FLOOR)).clamp(0, 1)  # [columns, bands]
    rows = level.T.flip(0).repeat_interleave(_ROWS_PER_BAND, 0)
    position = rows * (len(_COLOURS) - 1)
    below = position.long().clamp(max=len(_COLOURS) - 2)
    part = (position - below)[..., None]
    return torch.lerp(_COLOURS[below], _COLOURS[below + 1], part).permute(2, 0, 1)
