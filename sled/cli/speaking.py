"""What the command-line scripts share: flags, input, reporting and the handling of errors."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from sled.bundled import BUNDLED_VOICES, DEFAULT_VOICE, bundled_voice
from sled.decoding import DecodingOptions
from sled.fast import PRECISIONS
from sled.files.audio import check_writable
from sled.model.layout import Layout
from sled.streaming.voice import Voice
from sled.tts import TTS, Prompt

# The sentence that the published scripts speak by default.
PUBLISHED_INPUT = (
    "It was silent and gloomy, being tenanted solely by the captive and lighted by the dying "
    "embers of a fire which had been used for the purposes of cookery."
)
PUBLISHED_CFG, RECOMMENDED_CFG = 1.0, 2.0
STANDARD_OUTPUT = Path("-")
NO_SPEECH = "the model stopped before its first frame: try --min_frames or --stop_threshold"


def run_main(main: Callable[[], None]) -> None:
    """Run a script; what a user can put right ends in one line and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "huggingface_hub", "transformers"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    gc.freeze()  # what is imported stays: nothing shall look through it again
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def speech_parser(description: str, default_output: str = "output.wav") -> argparse.ArgumentParser:
    """The flags of every script that speaks; names and defaults are the published ones."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model_name_or_path",
        help="checkpoint folder, hub name, or a voice that comes with the package "
        f"({', '.join(BUNDLED_VOICES)}); unset: {DEFAULT_VOICE}",
    )
    model.add_argument(
        "--codec",
        help="codec folder, hub name or .th file; unset: the folder `codec` in or beside the "
        "checkpoint, else facebook/encodec_24khz",
    )
    model.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    add_dtype_flag(model)
    model.add_argument("--bf16", action="store_true", help="the same as --dtype bfloat16")
    model.add_argument("--fp16", action="store_true", help="the same as --dtype float16")

    text = parser.add_argument_group("text")
    text.add_argument(
        "--input", help="text to speak, or - for standard input; unset: an example sentence"
    )
    text.add_argument("--input_file", help="speak the text in this UTF-8 file instead")

    decoding = parser.add_argument_group("decoding")
    decoding.add_argument(
        "--cfg",
        type=float,
        help="guidance scale, 1 for none, 2 is recommended; unset: as the model says, 2 for the "
        f"bundled digits, else the published {PUBLISHED_CFG:g}",
    )
    decoding.add_argument(
        "--temperature", type=float, help="scale of the noise; unset: as the model says, or 1"
    )
    add_draws_flag(decoding)
    decoding.add_argument("--seed", type=int, default=42, help="of the first sequence")
    decoding.add_argument(
        "--max_length", type=int, default=0, help="text tokens plus frames; 0: all positions"
    )
    decoding.add_argument("--min_frames", type=int, default=0, help="frames before it may stop")
    decoding.add_argument(
        "--stop_threshold", type=float, help="stop probability; unset: 0.8 offline, 0.5 streaming"
    )
    add_place_flag(decoding)
    decoding.add_argument(
        "--num_return_sequences", type=int, default=1, help="readings to make, seed by seed"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--trim_tail", action="store_true", help="leave out silence at the end")
    output.add_argument(
        "--output", default=default_output, help="audio file; several readings get -1, -2, ..."
    )
    return parser


def add_draws_flag(parser: argparse._ActionsContainer) -> None:
    """Add `--draws`."""
    parser.add_argument(
        "--draws",
        type=int,
        help="of how many draws each frame is the mean: more make fewer mistakes, and less lively "
        "speech; unset: as the model says, or 1",
    )


def add_place_flag(parser: argparse._ActionsContainer) -> None:
    """The flag of scripts that let a model read aloud."""
    parser.add_argument(
        "--track_text",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="hold speech to the order of its text, if frames tell which token is being said",
    )


def add_dtype_flag(parser: argparse._ActionsContainer) -> None:
    """The flag of scripts that let a model speak."""
    parser.add_argument(
        "--dtype",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="what the model computes in; int8 and int4 are for processors and need the extra "
        "`fast`; auto: what suits the model's size and the machine",
    )


def add_whole_text_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of scripts that listen to their speech before anyone else does."""
    parser.add_argument(
        "--max_redraws",
        type=int,
        default=0,
        help="tries again, from another seed, for speech that falls silent, goes on far too long "
        "or ends far too early",
    )


def add_voice_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of scripts that speak in a given voice."""
    voice = parser.add_argument_group("voice")
    voice.add_argument("--prompt_audio", help="recording, in any format that soundfile reads")
    voice.add_argument("--prompt_text", help="the words spoken in it")
    voice.add_argument(
        "--voice", help="voice file from make_voice.py, instead of a recording and its words"
    )


@dataclass(frozen=True)
class Task:
    """What the flags of `speech_parser` ask for.

    Attributes:
        tts: What speaks.
        text: What it says.
        options: How.
        layout: In which layout.
        paths: The files to write, one for each reading.
        seeds: Of the readings.
    """

    tts: TTS
    text: str
    options: DecodingOptions
    layout: Layout
    paths: list[Path]
    seeds: range


def read_task(args: argparse.Namespace, layout: str) -> Task:
    """Check the flags and load what they name.

    Args:
        args: Parsed flags.
        layout: "offline" or "stream".

    Raises:
        ValueError: For anything in the flags that cannot be done.
    """
    bundled = bundled_voice(args.model_name_or_path)
    if args.num_return_sequences < 1:
        raise ValueError(f"--num_return_sequences {args.num_return_sequences}: ask for 1 or more")
    dtype = read_dtype(args)
    if args.max_length < 0:
        raise ValueError(f"--max_length {args.max_length} is below 0: 0 means all positions")
    cfg = args.cfg
    if cfg is None:
        cfg = PUBLISHED_CFG if bundled is None else RECOMMENDED_CFG
    options = DecodingOptions(
        cfg=cfg,
        temperature=1.0 if args.temperature is None else args.temperature,
        draws=1 if args.draws is None else args.draws,
        stop_threshold=args.stop_threshold,
        min_frames=args.min_frames,
        max_length=args.max_length or None,
        track_text=args.track_text,
    )
    text = read_text(args, PUBLISHED_INPUT if bundled is None else bundled.example)
    paths = output_paths(args.output, args.num_return_sequences)
    for path in paths:
        if layout == "offline" or path != STANDARD_OUTPUT:
            check_writable(path)

    if bundled is not None:
        print(bundled.description, file=sys.stderr if STANDARD_OUTPUT in paths else sys.stdout)
    tts = TTS.from_pretrained(
        args.model_name_or_path,
        codec=args.codec,
        device=choose_device(args.device),
        dtype=dtype,
    )
    if layout == "stream" and tts.model.layout.is_offline:
        raise ValueError(
            f"{args.model_name_or_path} is an offline checkpoint (no stream_n, stream_m in its "
            "config.json): name a streaming one, or use run_offline.py"
        )
    config = tts.model.config
    own_cfg = (config.speaking.cfg, config.speaking.distilled_cfg)
    if args.cfg is None and own_cfg != (None, None):
        options = replace(options, cfg=tts.default_options.cfg)
    unset = [name for name in ("temperature", "draws") if getattr(args, name) is None]
    options = replace(options, **{name: getattr(tts.default_options, name) for name in unset})
    own = tts.model.layout
    seeds = range(args.seed, args.seed + len(paths))
    return Task(tts, text, options, own if layout == "stream" else Layout(), paths, seeds)


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


def read_voice(args: argparse.Namespace, task: Task) -> Voice | None:
    """The voice that the flags of `add_voice_flags` name.

    Raises:
        ValueError: If it is named by halves, or cannot be used.
    """
    if args.voice and (args.prompt_audio or args.prompt_text):
        raise ValueError("--voice and --prompt_audio exclude each other: give one")
    if args.voice:
        voice = task.tts.load_voice(args.voice)
        if voice.layout != task.layout:
            kind = "offline" if task.layout.is_offline else "stream"
            raise ValueError(
                f"{args.voice} was made for the other layout: make it again with "
                f"make_voice.py --layout {kind}"
            )
        return voice
    if not args.prompt_audio and not args.prompt_text:
        return None
    if not args.prompt_audio:
        raise ValueError("--prompt_audio is missing: name a recording of the voice")
    if not (args.prompt_text or "").strip():
        raise ValueError("--prompt_text is missing: give the words spoken in the prompt audio")
    return task.tts.make_voice(Prompt(args.prompt_text, args.prompt_audio), task.layout)


def speak(args: argparse.Namespace, task: Task, voice: Voice | None = None) -> None:
    """Make whole utterances, write them, and print what was made."""
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
            on_frame=progress.update,
        )
    elapsed_s = time.perf_counter() - start
    if not all(len(one.audio) for one in speech):
        raise ValueError(NO_SPEECH)
    readings = []
    for one, path in zip(speech, task.paths, strict=True):
        one.save(path)
        readings.append(Made(path, one.seconds, one.sample_rate, one.stopped))
    report(readings, elapsed_s)


@dataclass(frozen=True)
class Made:
    """A reading that was written: where to, what it is, and whether the model ended it."""

    path: Path
    seconds: float
    sample_rate: int
    stopped: bool


def report(readings: Sequence[Made], elapsed_s: float) -> None:
    """Say what was made."""
    # Where the speech itself has gone to standard output, words must not.
    to_pipe = any(one.path == STANDARD_OUTPUT for one in readings)
    out = sys.stderr if to_pipe else sys.stdout
    for one in readings:
        cut = "" if one.stopped else ", cut at the length limit"
        print(f"{one.path}: {one.seconds:.2f} s of audio at {one.sample_rate} Hz{cut}", file=out)
    total = sum(one.seconds for one in readings)
    print(f"made in {elapsed_s:.2f} s, real-time factor {elapsed_s / total:.2f}", file=out)


def read_text(args: argparse.Namespace, default: str) -> str:
    """The text that `--input` and `--input_file` name.

    Raises:
        ValueError: If there is none, or it cannot be read.
    """
    if args.input is not None and args.input_file is not None:
        raise ValueError("--input and --input_file exclude each other: give one")
    try:
        if args.input_file is not None:
            text = Path(args.input_file).read_text(encoding="utf-8")
        elif args.input == "-":
            text = sys.stdin.read()
        else:
            text = default if args.input is None else args.input
    except UnicodeDecodeError as error:
        raise ValueError(f"{args.input_file or 'standard input'} is not UTF-8 text") from error
    if not text.strip():
        raise ValueError("the text is blank: give at least one word with --input or --input_file")
    return text


def output_paths(output: str, count: int) -> list[Path]:
    """One path per reading: `out.wav`, or `out-1.wav`, `out-2.wav`, ..."""
    path = Path(output)
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{index}") for index in range(1, count + 1)]


def choose_device(name: str) -> str:
    """A torch device name from a flag; "auto" takes what the machine has.

    Raises:
        ValueError: For a device that is not here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} is not available here ({reason}): try cpu") from error
    return name
