"""The judge of spelling: how unlikely the text is, given the speech, by a CTC network.

The network is that of `sled align`, trained on recordings of the same kind. It is small, so this
judge is quick, and tells readings apart in which a recogniser hears the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from sled.data.alignment.features import SAMPLE_RATE
from sled.data.alignment.trained import TrainedAligner
from sled.evaluation.identity import folder_digest
from sled.evaluation.judges.base import Heard, Judge

# The loss of speech that cannot be its text, and the largest of other speech, in nats per symbol.
MAX_LOSS = 10.0


class SpellingJudge(Judge):
    """Computes the CTC loss of the text, in nats per symbol.

    Args:
        path: File of the network, see `TrainedAligner`.
        device: Where it computes.

    Raises:
        ValueError: If the file cannot be read.
    """

    name = "spelling"

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._aligner = TrainedAligner.load(path, device)
        self.version = f"aligner {folder_digest(str(path))}"

    @override
    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        """Judge some utterances.

        Raises:
            ValueError: If a text has a letter that the network does not know.
        """
        losses = self._aligner.losses(
            [torch.from_numpy(one.at(SAMPLE_RATE)) for one in heard],
            [one.item.references[0] for one in heard],
        )
        return [{"spelling": min(loss, MAX_LOSS)} for loss in losses]
