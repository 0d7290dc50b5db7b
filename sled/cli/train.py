"""Train a model: from recordings, from scratch, or from a checkpoint (--finetune_path).

  sled train --recordings FOLDER --output voice
  sled train --train_manifest codes/train --tokenizer tokenizer --output model
  sled train --family cosyvoice2 --train_manifest data.list --finetune_path llm.pt --output model

The first command takes all steps from recordings with transcripts to a model that speaks. The
third trains a model of speech tokens, which has flags of its own: sled train --family cosyvoice2
--help. The same command continues an interrupted run. On several GPUs start it with
`torchrun --nproc_per_node 8 -m sled train ...`. The published runs have scripts with the published
defaults, scripts/train_libriheavy.py and scripts/train_libriheavy_stream.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sled.training.run import train
from sled.training.tokens.run import train_tokens


def main(
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    description: str | None = __doc__,
) -> None:
    """Train as the flags say.

    Args:
        argv: Flags. None: those of the process.
        defaults: Defaults of flags, in place of the usual ones.
        description: Text for --help.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if any(word.partition("=")[0] == "--family" for word in words):
        train_tokens(words, description)
    else:
        train(argv, defaults, description)
