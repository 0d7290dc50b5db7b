"""Joined samples of a batch: one continues another of the same speaker."""

import pytest
import torch
from lhotse.cut import Cut

from sled.data.dataset import SpeechDataset, collate
from tests.debug import SAMPLE_RATE, debug_codec, debug_cut, debug_tokenizer

SECONDS = 0.2


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> list[Cut]:
    """Twelve clips of two speakers in turn, and two of unknown speakers."""
    folder = tmp_path_factory.mktemp("corpus")
    speakers = ["ab"[index % 2] if index < 12 else None for index in range(14)]
    return [
        debug_cut(folder / f"{index}.wav", SECONDS, f"word {index}", speaker, seed=index)
        for index, speaker in enumerate(speakers)
    ]


def joining(share: float, max_joined_s: float = 10.0) -> SpeechDataset:
    return SpeechDataset(debug_tokenizer(), debug_codec(), share, max_joined_s)


def of_one_speaker(cuts: list[Cut]) -> list[Cut]:
    return cuts[:12:2]


def test_joined_samples_say_the_same_words_in_the_same_order(cuts):
    alone, joined = (joining(share).__getitems__(of_one_speaker(cuts)) for share in (0.0, 0.5))
    assert len(alone) == 6 > len(joined)
    said = [torch.cat([sample["speech"] for sample in samples]) for samples in (alone, joined)]
    assert said[0].equal(said[1])
    tokenizer = debug_tokenizer()
    words = " ".join(cut.supervisions[0].text for cut in of_one_speaker(cuts))
    texts = [tokenizer.decode(sample["input_ids"].tolist()).strip() for sample in joined]
    assert " ".join(texts) == words
    batch = collate(joined)
    assert len(batch["speech"]) == len(batch["num_frames"]) == len(joined)


def test_only_what_one_speaker_says_is_joined(cuts):
    assert len(joining(1.0).__getitems__(cuts[:12])) == 12  # never two of one in a row
    assert len(joining(1.0).__getitems__(cuts[12:])) == 2
    assert len(joining(1.0).__getitems__(of_one_speaker(cuts))) == 1


def test_no_sample_is_joined_beyond_the_limit(cuts):
    samples = joining(1.0, max_joined_s=2.5 * SECONDS).__getitems__(of_one_speaker(cuts))
    assert [len(sample["speech"]) for sample in samples] == [round(2 * SECONDS * SAMPLE_RATE)] * 3


def test_the_same_batch_is_joined_the_same_way(cuts):
    first, again = (joining(0.5).__getitems__(of_one_speaker(cuts)) for _ in range(2))
    assert [len(one["speech"]) for one in first] == [len(one["speech"]) for one in again]
