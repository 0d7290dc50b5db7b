"""What the commands that speak share: reading of flags, speaking, and the closing report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from sled.bundled import bundled_model
from sled.cli.device import choose_device
from sled.cli.flags import given
from sled.cli.marks_file import check_marks_path, write_marks_file
from sled.cli.recordings import read_prompt
from sled.cli.text_input import STANDARD_INPUT, read_text, text_source
from sled.decoding import DecodingOptions
from sled.files.audio import check_writable
from sled.files.suggest import did_you_mean
from sled.loading import read_config
from sled.model.config import Config
from sled.model.layout import Layout
from sled.streaming.session import to_int16
from sled.streaming.voice import Voice
from sled.text.pronunciations import Pronunciations
from sled.tts import TTS

# The sentence that the published scripts speak by default.
PUBLISHED_INPUT = (
    "It was silent and gloomy, being tenanted solely by the captive and lighted by the dying "
    "embers of a fire which had been used for the purposes of cookery."
)
PUBLISHED_CFG, RECOMMENDED_CFG = 1.0, 2.0
STANDARD_OUTPUT = Path("-")
MAX_READINGS = 1000
NO_SPEECH = "the model stopped before its first frame: try --min_frames or --stop_threshold"


@dataclass(frozen=True)
class Task:
    """What the flags of a speaking command ask for.

    Attributes:
        tts: The loaded model, tokenizer and codec.
        text: The text to speak. None: standard input, as it arrives.
        options: How to draw frames and when to stop.
        layout: The layout to speak in.
        paths: The file of each reading, or "-" for standard output.
        seeds: The seed of each reading.
        pronunciations: The user's dictionary.
    """

    tts: TTS
    text: str | None
    options: DecodingOptions
    layout: Layout
    paths: list[Path]
    seeds: range
    pronunciations: Pronunciations


def read_task(args: argparse.Namespace, layout: str, *, follow_input: bool = False) -> Task:
    """Check the flags and load what they name.

    Args:
        args: Parsed flags of `sled.cli.flags.add_speech_flags`.
        layout: "offline" or "stream".
        follow_input: Whether standard input can be spoken as it arrives.

    Raises:
        ValueError: For flags that cannot be followed.
    """
    if not 1 <= args.num_return_sequences <= MAX_READINGS:
        raise ValueError(
            f"--num_return_sequences {args.num_return_sequences}: ask for 1 to {MAX_READINGS}"
        )
    dtype = read_dtype(args)
    if args.max_length < 0:
        raise ValueError(f"--max_length {args.max_length} is below 0: 0 means all positions")
    check_voice_file(args)
    pronunciations = Pronunciations.of(args.pronunciations)
    paths = output_paths(args.output, args.num_return_sequences)
    bundled = bundled_model(args.model)
    text: str | None
    source = text_source(args)
    if source is None:
        text = PUBLISHED_INPUT if bundled is None else bundled.example
    elif source == STANDARD_INPUT and follow_input and len(paths) == 1:
        text = None  # several readings need the whole text
    else:
        text = read_text(source)
    for path in paths:
        if path != STANDARD_OUTPUT:
            check_writable(path)
    for path in marks_paths(args):
        check_marks_path(path)

    config = read_config(args.model)
    chosen = Layout.for_streaming(config) if layout == "stream" else Layout()
    if layout == "stream" and chosen.is_offline:
        raise ValueError(
            f"{args.model} is an offline checkpoint (no stream_n, stream_m in its config.json): "
            "name a streaming one, or use `sled speak`"
        )
    options = read_options(args, config, RECOMMENDED_CFG if bundled else PUBLISHED_CFG)
    device = choose_device(args.device)
    tts = TTS.from_pretrained(args.model, codec=args.codec, device=device, dtype=dtype)
    if marks_paths(args) and not (tts.has_marks and options.track_text):
        raise ValueError(
            "--marks: this model does not tell when its words are said"
            if options.track_text
            else "--marks and --no-track_text exclude each other: leave one out"
        )
    if source is None:
        print(f'no text is given: speaking an example, "{text}"', file=sys.stderr)
    seeds = range(args.seed, args.seed + len(paths))
    return Task(tts, text, options, chosen, paths, seeds, pronunciations)


def read_options(args: argparse.Namespace, config: Config, usual_cfg: float) -> DecodingOptions:
    """How to decode: as the flags say, else as the checkpoint recommends.

    Args:
        args: As `read_task`.
        config: Configuration of the model.
        usual_cfg: Guidance scale if neither says one.

    Raises:
        ValueError: For impossible values.
    """
    recommended = DecodingOptions.of_model(config)
    if config.speaking.cfg is None and config.speaking.distilled_cfg is None:
        recommended = replace(recommended, cfg=usual_cfg)
    named: dict[str, Any] = given(args, "cfg", "temperature", "draws")
    return replace(
        recommended,
        **named,
        stop_threshold=args.stop_threshold,
        min_frames=args.min_frames,
        max_length=args.max_length or None,
        track_text=args.track_text,
    )


def read_dtype(args: argparse.Namespace) -> str:
    """The precision that `--dtype`, `--bf16` and `--fp16` name.

    Raises:
        ValueError: If they name more than one.
    """
    named = {"bfloat16"} if args.bf16 else set()
    named |= {"float16"} if args.fp16 else set()
    named |= {args.dtype} if args.dtype != "auto" else set()
    if len(named) > 1:
        raise ValueError("--dtype, --bf16 and --fp16 exclude each other: choose one")
    return named.pop() if named else "auto"


def output_paths(output: str, count: int) -> list[Path]:
    """A path for each reading: `out.wav`, or `out-1.wav`, `out-2.wav`, ...

    Raises:
        ValueError: If several readings are to go to standard output, or that is a terminal.
    """
    path = Path(output)
    if path == STANDARD_OUTPUT and sys.stdout.isatty():
        raise ValueError(
            "--output - writes raw samples, and standard output is a terminal: pipe it into a "
            "player, such as `| aplay -f S16_LE -r 24000`, or name an audio file"
        )
    if count > 1 and path == STANDARD_OUTPUT:
        raise ValueError(f"--output - takes one reading, not {count}: name an audio file")
    return _numbered(path, count)


def marks_paths(args: argparse.Namespace) -> list[Path]:
    """The file of marks of each reading; none if they are not asked for."""
    path = getattr(args, "marks", None)
    return [] if path is None else _numbered(path, args.num_return_sequences)


def _numbered(path: Path, count: int) -> list[Path]:
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{index}") for index in range(1, count + 1)]


def check_voice_file(args: argparse.Namespace) -> None:
    """Check that `--voice`, if it is given, is a file or a name, and is the only voice.

    Raises:
        ValueError: If not.
    """
    if args.voice is None:
        return
    if getattr(args, "prompt_audio", None) or getattr(args, "prompt_text", None):
        raise ValueError("--voice and --prompt_audio exclude each other: give one")
    path = Path(args.voice)
    if not path.is_file() and path != Path(path.stem):  # else it may be the name of a stored voice
        others = [str(other) for other in path.parent.glob("*.safetensors")]
        raise ValueError(
            f"no voice file at {path}{did_you_mean(str(path), others)}: make one with "
            "`sled voices make`"
        )


def read_voice(args: argparse.Namespace, task: Task) -> Voice | None:
    """The voice that the flags name, or None if they name none.

    Raises:
        ValueError: If a flag is missing, or the voice cannot be used.
    """
    if args.voice is not None:
        if Path(args.voice).is_file():
            return task.tts.load_voice(args.voice, task.layout)
        return task.tts.make_voice(args.voice, task.layout)
    if not (getattr(args, "prompt_audio", None) or getattr(args, "prompt_text", None)):
        return None
    if not args.prompt_audio:
        raise ValueError("--prompt_audio is missing: name a recording of the voice")
    return task.tts.make_voice(read_prompt(args, task.tts), task.layout)


def speak(args: argparse.Namespace, task: Task, voice: Voice | None = None) -> None:
    """Make whole utterances, write them, and print what was made.

    Raises:
        ValueError: If the model says nothing; then no file is written.
    """
    assert task.text is not None
    start = time.perf_counter()
    with tqdm(desc="speaking", unit="frame", disable=None, leave=False) as progress:
        speech = task.tts.synthesize(
            [task.text] * len(task.paths),
            prompts=voice,
            seeds=list(task.seeds),
            options=task.options,
            layout=task.layout,
            trim_tail=args.trim_tail,
            max_redraws=args.max_redraws,
            pronunciations=task.pronunciations,
            dialect=args.dialect,
            on_frame=progress.update,
        )
    elapsed_s = time.perf_counter() - start
    if not all(len(one.audio) for one in speech):
        raise ValueError(NO_SPEECH)
    readings = []
    for one, path in zip(speech, task.paths, strict=True):
        if path == STANDARD_OUTPUT:
            write_raw(one.audio)
        else:
            one.save(path)
        readings.append(Reading(path, one.seconds, one.sample_rate, one.stopped))
    for one, path in zip(speech, marks_paths(args), strict=False):
        write_marks_file(path, task.text, one.marks)
    out = report_output(task.paths)
    for reading in readings:
        print(reading.describe(), file=out)
    factor = elapsed_s / sum(one.seconds for one in readings)
    print(f"made in {elapsed_s:.2f} s, real-time factor {factor:.2f}", file=out)


def write_raw(audio: np.ndarray) -> None:
    """Write samples [S] to standard output: raw, 16 bits, mono."""
    sys.stdout.buffer.write(to_int16(audio).astype("<i2").tobytes())
    sys.stdout.buffer.flush()


@dataclass(frozen=True)
class Reading:
    """A reading that was written.

    Attributes:
        path: The file, or "-".
        seconds: Duration of the audio.
        sample_rate: In Hz.
        stopped: True if the model ended it, False if it was cut at the length limit.
    """

    path: Path
    seconds: float
    sample_rate: int
    stopped: bool

    def describe(self) -> str:
        """A line about it."""
        name = "standard output" if self.path == STANDARD_OUTPUT else self.path
        cut = "" if self.stopped else ", cut at the length limit"
        return f"{name}: {self.seconds:.2f} s of audio at {self.sample_rate} Hz{cut}"


def report_output(paths: Sequence[Path]) -> TextIO:
    """Where to report: standard error if standard output carries the audio."""
    return sys.stderr if STANDARD_OUTPUT in paths else sys.stdout
