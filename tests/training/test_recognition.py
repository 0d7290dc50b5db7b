"""A recogniser that listens to what a model draws in training."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from sled.data.alignment.features import NUM_FEATURES
from sled.data.alignment.network import CtcNetwork
from sled.data.alignment.spelling import Alphabet
from sled.data.alignment.trained import TrainedAligner
from sled.model.batch import SpeechBatch
from sled.model.layout import Layout
from sled.training.recognition import Recognition
from tests.debug import debug_codec, debug_model, debug_tokenizer, randn
from tests.training.runs import PLAIN, fit, logged

TEXTS = ["four two seven", "one four nine"]
NUM_FRAMES = [50, 40]


def debug_aligner(text_normalization: str | None = None) -> TrainedAligner:
    """One with random weights."""
    torch.manual_seed(0)
    alphabet = Alphabet(tuple("efhinorstuvwx"), fold_case=False)
    statistics = torch.full((NUM_FEATURES,), -5.0), torch.full((NUM_FEATURES,), 3.0)
    network = CtcNetwork(len(alphabet), *statistics).eval()
    return TrainedAligner(network, alphabet, text_normalization)


def debug_recognition(seconds: float = 9.0) -> Recognition:
    return Recognition(debug_aligner(), debug_codec(), debug_tokenizer(), seconds)


def units() -> Tensor:
    return randn(2, max(NUM_FRAMES), 32)


def read_batch(num_given: list[int] | None = None) -> SpeechBatch:
    tokens = [torch.tensor(debug_tokenizer().encode(text)) for text in TEXTS]
    ids = torch.nn.utils.rnn.pad_sequence(tokens, True)
    lengths, frames = (torch.tensor(list(map(len, x))) for x in (tokens, map(range, NUM_FRAMES)))
    masks = [(torch.arange(int(n.max())) < n[:, None]).long() for n in (lengths, frames)]
    given = None if num_given is None else torch.tensor(num_given)
    return SpeechBatch(ids, masks[0], units(), masks[1], Layout(), {}, given)


def test_the_loss_is_that_of_what_the_aligner_hears():
    """Its own loss of one text after the other, weighted by their symbols."""
    aligner = debug_aligner()
    frames = [units()[row, :count] for row, count in enumerate(NUM_FRAMES)]
    audio = [debug_codec().decode(one[None])[0] for one in frames]
    loss = debug_recognition().loss(frames, TEXTS)
    counts = [len(aligner.alphabet.encode(text.split())) for text in TEXTS]
    alone = [aligner.losses([one], [text])[0] for one, text in zip(audio, TEXTS, strict=True)]
    expected = sum(a * b for a, b in zip(alone, counts, strict=True)) / sum(counts)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_a_model_learns_to_be_understood():
    model, recognition, batch = deepcopy(debug_model()), debug_recognition(), read_batch()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for step in range(16):
        torch.manual_seed(step % 2)
        states, is_stop = model.predict(batch)
        loss = recognition(model, states[~is_stop], batch, batch.units)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.99 * sum(losses[:2])


def test_what_cannot_be_spelt_does_not_count():
    """A text that is too long for its speech, letters that the network does not know."""
    recognition, frames = debug_recognition(), [units()[row] for row in range(2)]
    loss = recognition.loss(frames, TEXTS)
    too_long = [units()[0, :3].requires_grad_(), *frames]
    both = recognition.loss(too_long, [TEXTS[0], "q" + TEXTS[0], TEXTS[1]])
    assert both.item() == pytest.approx(loss.item(), rel=1e-4)
    both.backward()
    assert too_long[0].grad.isfinite().all()


def test_its_gradient_is_for_all_that_has_drawn_the_frames():
    model, recognition, batch = deepcopy(debug_model()), debug_recognition(), read_batch()
    states, is_stop = model.predict(batch)
    recognition(model, states[~is_stop], batch, batch.units).backward()
    used = [name for name, one in model.named_parameters() if one.grad is not None]
    assert all(bool(one.grad.any()) for one in model.parameters() if one.grad is not None)
    unused = {name for name, _ in model.named_parameters()} - set(used)
    assert unused == {"eos_head.weight"}


def test_given_frames_are_heard_as_they_were_recorded_and_have_no_gradient():
    """If all frames are given, the loss is that of the recordings."""
    model, recognition = deepcopy(debug_model()), debug_recognition()
    batch = read_batch(NUM_FRAMES)
    states, is_stop = model.predict(batch)
    loss = recognition(model, states[~is_stop], batch, batch.units)
    frames = [units()[row, :count] for row, count in enumerate(NUM_FRAMES)]
    expected = recognition.loss(frames, TEXTS).item()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert all(one.grad is None or not one.grad.any() for one in model.parameters())


@pytest.mark.parametrize(("seconds", "heard"), [(0.1, 1), (9.0, 2)])
def test_so_much_of_a_batch_is_listened_to(seconds, heard, monkeypatch):
    rows = []
    recognition, batch, model = debug_recognition(seconds), read_batch(), debug_model()
    monkeypatch.setattr(recognition, "loss", lambda frames, _: rows.append(len(frames)))
    states, is_stop = model.predict(batch)
    recognition(model, states[~is_stop], batch, batch.units)
    assert rows == [heard]


def test_samples_without_their_texts_are_not_listened_to():
    model, batch = debug_model(), read_batch()
    batch.attention_mask[:, 1:] = 0
    states, is_stop = model.predict(batch)
    assert debug_recognition()(model, states[~is_stop], batch, batch.units) == 0


def test_its_loss_is_a_part_of_training(corpus, tmp_path):
    plain = fit(corpus, tmp_path / "plain", **PLAIN)
    debug_aligner().save(tmp_path / "aligner.safetensors")
    evaluation = {"eval_manifest": corpus / "cuts.jsonl.gz", "eval_strategy": "steps"}
    heard = fit(
        *(corpus, tmp_path / "heard"),
        **(PLAIN | evaluation),
        aligner=tmp_path / "aligner.safetensors",
        recognition_weight=0.5,
        eval_steps=1,
    )
    losses, without = (logged(heard, name) for name in ("recognition_loss", "score_loss"))
    assert all(loss > 0 for loss in losses) and logged(heard, "eval_recognition_loss")
    parts = zip(without, logged(heard, "stop_loss"), losses, strict=True)
    total = [score + stop + 0.5 * recognition for score, stop, recognition in parts]
    assert logged(heard, "loss") == pytest.approx(total, rel=1e-3)
    assert not logged(plain, "recognition_loss")


@pytest.mark.parametrize(
    ("saved", "changes", "message"),
    [
        (False, {}, "is not the network of an aligner"),
        (True, {"recognition_s": 0}, "--recognition_s 0: use more than 0"),
        (True, {"text_normalization": "digits"}, "the model reads texts as digits"),
    ],
)
def test_what_cannot_listen_is_refused(saved, changes, message, corpus, tmp_path):
    if saved:
        debug_aligner().save(tmp_path / "aligner.safetensors")
    with pytest.raises(ValueError, match=message):
        fit(corpus, tmp_path / "run", aligner=tmp_path / "aligner.safetensors", **changes)
