"""Extract the speaker vectors of recordings, and their mean for each speaker.

Writes utt2embedding.pt and spk2embedding.pt. The same command continues an interrupted run.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from sled.cli.cache.extraction import (
    add_extraction_flags,
    choose_executor,
    input_folder,
    print_report,
)

EXAMPLE = "sled cache embeddings --input data/train --encoder campplus.onnx"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache embeddings`."""
    recordings = add_extraction_flags(parser, "folder for the tables")
    recordings.add_argument("--utt2spk", type=Path, help="unset: that beside wav.scp")
    recordings.add_argument(
        "--encoder",
        "--onnx_path",
        type=Path,
        required=True,
        help="speaker encoder: an ONNX file such as campplus.onnx, CAM++ as .pt or .safetensors, "
        "or a folder with campplus.onnx",
    )


def run(args: argparse.Namespace) -> None:
    """Extract the vectors.

    Raises:
        ValueError: For recordings or an encoder that cannot be used.
    """
    folder = input_folder(args)
    from sled.cli.device import choose_device, choose_onnx_device
    from sled.codec.speaker.encoder import is_speaker_network, speaker_encoder_file
    from sled.data.corpora.kaldi import read_table
    from sled.data.tokens.extraction import (
        digest_files,
        extract,
        load_vectors,
        speaker_means,
    )
    from sled.data.tokens.folder import read_audio_paths
    from sled.data.tokens.tables import SPEAKER_VECTORS, UTTERANCE_VECTORS, write_table

    paths = read_audio_paths(folder)
    speakers = read_table(args.utt2spk or folder / "utt2spk")
    file = speaker_encoder_file(args.encoder)
    choose = choose_device if is_speaker_network(file) else choose_onnx_device
    load = partial(load_vectors, args.encoder.absolute(), choose(args.device))
    output = args.output or folder
    report = extract(
        paths,
        choose_executor(args, load),
        output / UTTERANCE_VECTORS,
        digest_files([file]),
        skip_bad=args.on_bad == "skip",
    )
    means = speaker_means(report.rows, speakers)
    write_table(output / SPEAKER_VECTORS, means)
    print_report(report, output / UTTERANCE_VECTORS)
    print(f"{len(means)} speakers, {output / SPEAKER_VECTORS}")
