"""The subcommands of `sled`, with a line about each.

The table is all that `sled --help` reads. A subcommand's module is imported when it is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        module: Has `add_flags(parser)` and `run(args)`. Its docstring is the description, and its
            constant `EXAMPLE` an example. With `settings` it has `main(argv)` instead.
        summary: A line about it.
        settings: Dataclasses, as "package.module:Class", of which transformers' parser makes the
            flags. The import of such a module takes seconds.
    """

    module: str
    summary: str
    settings: tuple[str, ...] = ()

    @property
    def own_parser(self) -> bool:
        """Whether the module parses its flags itself."""
        return bool(self.settings)


def _command(module: str, summary: str, *settings: str) -> Command:
    return Command(f"sled.cli.{module}", summary, settings)


def _benchmark(name: str, summary: str) -> Command:
    return Command(f"sled.benchmarks.commands.{name}", summary)


COMMANDS = {
    "speak": _command("speak", "speak a text"),
    "stream": _command("stream", "speak a text while it is being written"),
    "clone": _command("clone", "speak a text with the voice of a recording"),
    "convert": _command("convert", "voice conversion: the words of a recording with another voice"),
    "serve": _command("serve", "serve speech to many callers over HTTP and WebSocket"),
    "voices list": _command("voices.list", "list the bundled models and your voice files"),
    "voices make": _command("voices.make", "prepare a voice from a recording"),
    "prepare recordings": _command(
        "prepare.recordings", "recordings with transcripts; their form is detected"
    ),
    "prepare jsonl": _command("prepare.jsonl", "JSON lines of audio and text"),
    "prepare metadata-csv": _command("prepare.metadata_csv", "metadata.csv, as LJ Speech has it"),
    "prepare kaldi": _command("prepare.kaldi", "a Kaldi data folder"),
    "prepare libritts": _command("prepare.libritts", "LibriTTS or LibriTTS-R"),
    "prepare libriheavy": _command("prepare.libriheavy", "Libriheavy"),
    "prepare digits": _command("prepare.digits", "spoken digits, read by a teacher model"),
    "prepare english": _command("prepare.english", "English, read by teacher models"),
    "prepare kaldi-folder": _command(
        "prepare.kaldi_folder", "a Kaldi folder of any corpus, for speech tokens"
    ),
    "align": _command("align", "forced alignment: the times of words and letters in a corpus"),
    "tokenizer": _command("tokenizer", "train a tokenizer of text, or of speech"),
    "tokenizer speech train": _command(
        "speech_tokenizer",
        "train a speech tokenizer",
        "sled.training.tokenizer.config:TokenizerTrainingConfig",
    ),
    "cache codes": _command("cache.codes", "encode a corpus with a codec"),
    "cache predictions": _command("cache.predictions", "store a model's predictions for a corpus"),
    "cache best-readings": _command(
        "cache.best_readings", "store a model's best readings of texts, by a judge"
    ),
    "cache embeddings": _command("cache.embeddings", "extract speaker vectors of a Kaldi folder"),
    "cache tokens": _command("cache.tokens", "extract speech tokens of a Kaldi folder"),
    "cache spoken": _command(
        "cache.spoken", "align speech tokens with text tokens, for guided attention"
    ),
    "cache parquet": _command("cache.parquet", "pack a Kaldi folder and its tables as Parquet"),
    "codec train": _command(
        "codec.train", "train or adapt a codec", "sled.training.codec.config:CodecTrainingConfig"
    ),
    "codec fit": _command("codec.fit", "fit transforms of a codec's latents"),
    "train": _command(
        "train",
        "train or fine-tune a model",
        "sled.training.arguments:ModelArguments",
        "sled.training.arguments:LoraArguments",
        "sled.training.arguments:DataArguments",
        "sled.training.arguments:SpeechArguments",
        "sled.training.run_arguments:RunArguments",
        "sled.training.run_arguments:TransformersArguments",
        "transformers.training_args:TrainingArguments",
    ),
    "finetune": _command("finetune", "fine-tune Step-Audio-EditX to a corpus in Parquet"),
    "average": _command("average", "average the weights of checkpoints"),
    "grow": _command("grow", "enlarge a checkpoint without changing what it computes"),
    "export": _command("export", "write a model and its codec for publication"),
    "quantize": _command("quantize", "round a model to four bits, for fast speech on a CPU"),
    "evaluate": _command("evaluate", "measure word errors, similarity and quality on a test set"),
    "sweep": _command("sweep", "find the guidance, noise and draws a model speaks best with"),
    "bench generate": _benchmark("generate", "speed, memory and accuracy of decoding"),
    "bench latency": _benchmark("latency", "delay of the first audio, and margins of a stream"),
    "bench sessions": _benchmark("sessions", "many sessions in one batch"),
    "bench load": _benchmark("load", "load test of a server: callers arrive at random"),
    "bench server": _benchmark("server", "what a server adds to a session's delays"),
    "bench flow": _benchmark("flow", "speed of flow and vocoder: speech tokens to audio"),
    "bench start": _benchmark("start", "time from the command to its first audio"),
    "bench train": _benchmark("train", "speed of training"),
    "bench data": _benchmark("data", "speed and padding of the data loader"),
    "check": _command("check", "compare with recorded outputs of another implementation"),
    "doctor": _command("doctor", "show what is installed and what will be used"),
    "completion": _command("completion", "print a completion script for a shell"),
}

GROUPS = {
    "voices": "make and list voices",
    "prepare": "turn a corpus into checked manifests",
    "cache": "compute codes, tokens or predictions of a corpus once",
    "codec": "train a codec, fit transforms of its latents",
    "bench": "measure speed, each time beside a baseline",
}

# As `sled --help` lists them.
SECTIONS = {
    "speaking": ("speak", "stream", "clone", "convert", "voices", "serve"),
    "data": ("prepare", "align", "tokenizer", "cache"),
    "training": ("codec", "train", "finetune", "average", "grow", "export", "quantize"),
    "measuring": ("evaluate", "sweep", "bench", "check"),
    "help": ("doctor", "completion"),
}


# Commands that compute for minutes or hours, on a machine that may do other work as well.
LONG_WORK = {
    "align",
    "cache codes",
    "cache predictions",
    "cache best-readings",
    "cache embeddings",
    "cache tokens",
    "cache parquet",
    "codec train",
    "codec fit",
    "train",
    "tokenizer speech train",
    "finetune",
    "quantize",
}


def find_command(words: list[str]) -> str | None:
    """Name of the command that the words of a command line begin with, if there is one."""
    # The longest first: sled tokenizer is a command, and sled tokenizer speech train another.
    names = (" ".join(words[:count]) for count in (3, 2, 1))
    return next((name for name in names if name in COMMANDS), None)
