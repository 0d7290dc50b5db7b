"""Train a model: from recordings, from scratch, or from a checkpoint (--finetune_path).

  sled train --recordings FOLDER --output voice
  sled train --train_manifest codes/train --tokenizer tokenizer --output model

The first command takes all steps from recordings with transcripts to a model that speaks. The same
command continues an interrupted run. On several GPUs start it with
`torchrun --nproc_per_node 8 -m sled train ...`. The published runs have scripts with the published
defaults, scripts/train_libriheavy.py and scripts/train_libriheavy_stream.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sled.training.run import train


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
    train(argv, defaults, description)
