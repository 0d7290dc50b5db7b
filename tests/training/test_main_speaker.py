"""Training on several speakers when one of them is to speak without a prompt: `--main_speaker`.

Of the samples of the others the first second is only read: it is neither learned nor corrupted.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lhotse import CutSet

from sled.data.dataset import GIVEN_S, SpeechDataset, collate, length_mask
from sled.data.manifests import load_cuts, save_cuts
from sled.model.batch import SpeechBatch
from sled.model.layout import Layout
from sled.training.objectives import add_noise, sample_units
from tests.debug import debug_codec, debug_cut, debug_model, debug_tokenizer, randn
from tests.training.runs import PLAIN, fit, logged, make_corpus

NUM_FRAMES = [9, 5, 7]
NUM_GIVEN = [4, 0, 7]  # all of the third sample


def inputs() -> dict[str, torch.Tensor]:
    lengths = torch.tensor(NUM_FRAMES)
    ids = torch.randint(4, 300, (3, 6), generator=torch.Generator().manual_seed(0))
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "units": randn(3, 9, 32),
        "frame_mask": length_mask(lengths),
    }


def test_the_score_is_that_of_the_learned_frames_alone():
    model, batch = debug_model().eval(), inputs()
    learned = torch.cat(
        [torch.arange(n) >= given for n, given in zip(NUM_FRAMES, NUM_GIVEN, strict=True)]
    )
    noise = model.scoreloss.draw_noise(sum(NUM_FRAMES), torch.device("cpu"))
    states, is_stop = model.predict(SpeechBatch(**batch, layout=Layout(), conditions={}))
    target = batch["units"][batch["frame_mask"].bool()]
    of_each = model.scoreloss.score(states[~is_stop], target, noise).value

    output = model(
        **batch, layout=Layout(), noise=noise[:, learned], num_given=torch.tensor(NUM_GIVEN)
    )
    assert output.score_loss.item() == pytest.approx(of_each[learned].mean().item(), rel=1e-5)
    assert (output.num_learned, output.num_frames) == (int(learned.sum()), sum(NUM_FRAMES))
    # The model hears the given frames, and decides after each of them that speech goes on.
    whole = model(**batch, layout=Layout(), noise=noise)
    assert output.stop_loss.item() == whole.stop_loss.item()


def test_a_batch_without_learned_frames_has_no_score():
    model, batch = debug_model(), inputs()
    output = model(**batch, num_given=torch.tensor(NUM_FRAMES))
    assert output.score_loss.item() == 0
    output.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_given_frames_are_not_replaced_by_the_models_own():
    model = debug_model()
    batch = SpeechBatch(**inputs(), layout=Layout(), conditions={})
    batch = replace(batch, num_given=torch.tensor(NUM_GIVEN))
    torch.manual_seed(0)
    changed = torch.zeros_like(batch.learned)
    for _ in range(20):  # of each sample a random share is replaced
        changed |= (sample_units(model, batch, batch.units, 1.0).units != batch.units).any(-1)
    assert changed.equal(batch.learned)


def test_given_frames_are_read_without_noise():
    batch = SpeechBatch(**inputs(), layout=Layout(), conditions={})
    batch = replace(batch, num_given=torch.tensor(NUM_GIVEN))
    noisy = add_noise(batch, 1.0).units
    assert (noisy != batch.units).any(-1).equal(batch.learned)


def test_only_other_speakers_begin_with_given_frames(tmp_path):
    codec = debug_codec()
    cuts = [
        debug_cut(tmp_path / f"{index}.wav", seconds, "one", speaker, seed=index)
        for index, (seconds, speaker) in enumerate(
            [(1.5, "anna"), (1.5, "ben"), (0.5, "ben"), (1.5, None)]
        )
    ]

    def given(main_speaker: str | None) -> list[int]:
        dataset = SpeechDataset(debug_tokenizer(), codec, main_speaker=main_speaker)
        return collate([dataset[cut] for cut in cuts])["num_given"].tolist()

    second = round(GIVEN_S * codec.frame_rate)
    assert given(None) == [0, 0, 0, 0]
    assert given("anna") == [0, second, codec.num_frames(round(0.5 * codec.sample_rate)), second]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of the other tests, with two speakers in turn, as recordings."""
    folder = make_corpus(tmp_path_factory.mktemp("speakers"))
    cuts = list(load_cuts(folder / "cuts.jsonl.gz"))
    for index, cut in enumerate(cuts):
        cut.supervisions[0].speaker = ("anna", "ben")[index % 2]
    save_cuts(CutSet.from_cuts(cuts), folder / "cuts.jsonl.gz")
    return folder


def test_the_loss_is_the_same_however_a_step_is_cut_up(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("sled.data.dataset.GIVEN_S", 0.1)
    settings = {"main_speaker": "anna", "max_steps": 1, "lr_scheduler_type": "constant", **PLAIN}
    runs = [
        fit(
            corpus,
            tmp_path / str(size),
            train_manifest=corpus / "cuts.jsonl.gz",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=6 // size,
            **settings,
        )
        for size in (6, 3)
    ]
    for part in ("stop_loss", "loss"):
        one, other = (logged(run, part)[0] for run in runs)
        assert one == pytest.approx(other, rel=0.02 if part == "loss" else 1e-5)


def test_a_speaker_whom_the_corpus_lacks_is_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match="--main_speaker dora: the training corpus has anna ben"):
        fit(
            corpus,
            tmp_path / "run",
            train_manifest=corpus / "cuts.jsonl.gz",
            main_speaker="dora",
            **PLAIN,
        )
