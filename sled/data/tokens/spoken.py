"""The text token that is said in each speech token, from the times of words and letters.

Training with `--alignment_weight` guides an attention head to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lhotse.cut import Cut

from sled.data.alignment.spoken_times import word_ends
from sled.data.alignment.spoken_tokens import spoken_tokens
from sled.data.tokens.folder import read_folder
from sled.data.tokens.tables import SPEECH_TOKENS, SPOKEN_TOKENS, Row, read_tokens, write_table
from sled.text.published_tokenizers import DividedText

# Seconds that speech tokens may be longer or shorter than their recording, and as a share of it.
_SECONDS_OFF, _SHARE_OFF = 0.2, 0.1


@dataclass(frozen=True)
class SpokenReport:
    """What was found.

    Attributes:
        table: The file that was written.
        utterances: Utterances in it.
        unknown: Names of those without times of words, or with times of another normalisation.
    """

    table: Path
    utterances: int
    unknown: list[str]


def write_spoken(
    folder: Path, cuts: Iterable[Cut], tokenizer: DividedText, token_rate: float
) -> SpokenReport:
    """Write `utt2spoken_token.pt` of a Kaldi folder.

    A token counts as said at the end of its speech token, as the model must not read it later.

    Args:
        folder: The folder, with `utt2speech_token.pt`.
        cuts: Its utterances with times of words, by their names (`sled align`).
        tokenizer: The text tokenizer of the model.
        token_rate: Speech tokens a second.

    Raises:
        ValueError: If the folder cannot be used, an utterance has far more or fewer speech tokens
            than its duration tells, or none has times.
    """
    speech = read_tokens(folder / SPEECH_TOKENS)
    timed = {cut.id: cut for cut in cuts if word_ends(cut)}
    table: dict[str, Row] = {}
    unknown = []
    for one in read_folder(folder):
        if one.id not in speech:  # it failed when tokens were extracted
            continue
        times_s = (1 + torch.arange(len(speech[one.id]))) / token_rate
        cut = timed.get(one.id)
        if cut is None or cut.supervisions[0].text.split() != one.text.split():
            said = torch.full(times_s.shape, -1)
        else:
            length_s = len(times_s) / token_rate
            if abs(length_s - cut.duration) > _SECONDS_OFF + _SHARE_OFF * cut.duration:
                raise ValueError(
                    f"{one.id} lasts {cut.duration:.2f} s, and its {len(times_s)} speech tokens "
                    f"{length_s:.2f} s at {token_rate:g} a second: check --token_rate"
                )
            # With the white space that training reads.
            cut = cut.map_supervisions(partial(replace, text=one.text))
            # Positions count from 1, since <s> comes first there.
            said = (spoken_tokens(tokenizer, [cut], [0.0], times_s) - 1).clamp_min(-1)
        if (said < 0).all():
            unknown.append(one.id)
        table[one.id] = said.numpy().astype(np.int64)
    if len(unknown) == len(table):
        raise ValueError(
            f"no utterance of {folder} has times that fit its text: align a manifest whose cuts "
            "have the names of its utterances, with the normalisation of the model"
        )
    path = folder / SPOKEN_TOKENS
    write_table(path, table)
    return SpokenReport(path, len(table), unknown)
