"""What flows and vocoders learn from of the batches of a packed corpus."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sled.training.flow.batch import flow_batch, vocoder_batch
from tests.codec.flow.models import cosyvoice2_flow, cosyvoice_flow, random_tokens
from tests.debug import randn


def raw_batch() -> dict[str, Tensor]:
    """As `sled.data.tokens` makes it: of the second sample, a token is too many."""
    return {
        "speech_token": random_tokens(cosyvoice2_flow(), 2, 10, 0),
        "speech_token_len": torch.tensor([10, 8], dtype=torch.int32),
        "speech_feat": randn(2, 21, 80),
        "speech_feat_len": torch.tensor([21, 14], dtype=torch.int32),
        "embedding": randn(2, 16),
    }


def test_tokens_and_frames_are_cut_to_the_shorter_ones() -> None:
    batch = flow_batch(raw_batch(), cosyvoice2_flow())
    assert batch.num_tokens.tolist() == [10, 7]
    assert batch.num_frames.tolist() == [20, 14]
    assert batch.mel.shape == (2, 80, 20)
    assert batch.mel[0].equal(raw_batch()["speech_feat"][0, :20].T)
    assert (batch.mel[1, :, 14:] == 0).all()
    raw = raw_batch() | {"speech_token": raw_batch()["speech_token"] % 60}
    whole = flow_batch(raw, cosyvoice_flow())
    assert whole.num_tokens.tolist() == [10, 8]
    assert whole.num_frames.tolist() == [21, 14]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"embedding": None}, "no embedding"),
        ({"embedding": randn(2, 4)}, "speaker vector"),
        ({"speech_feat": randn(2, 21, 8)}, "mel bands"),
        ({"speech_token": torch.full((2, 10), 81)}, "the token 81"),
    ],
)
def test_batches_that_do_not_fit_are_refused(change, word) -> None:
    batch = {name: one for name, one in (raw_batch() | change).items() if one is not None}
    with pytest.raises(ValueError, match=word):
        flow_batch(batch, cosyvoice2_flow())


def test_vocoders_learn_from_pieces_of_recordings() -> None:
    with pytest.raises(ValueError, match="pieces of recordings"):
        vocoder_batch(raw_batch(), torch.device("cpu"))
    raw = raw_batch() | {"speech": randn(2, 100)}
    mel, waveform, pitch = vocoder_batch(raw, torch.device("cpu"))
    assert mel.shape == (2, 80, 21)
    assert waveform.shape == (2, 100)
    assert pitch is None
