"""The training loss of one sample and of a batch, and the corruption of what is read."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.data.dataset import length_mask
from sled.decoding import Decoder, DecodingOptions, Request
from sled.model.batch import SpeechBatch, TrainingOutput
from sled.model.layout import Layout
from sled.model.lm import SpeechLM
from sled.training.objectives import SAMPLING_DRAWS, corrupt_inputs
from tests.debug import LAYOUT_IDS, LAYOUTS, STREAM, debug_model, randn
from tests.oracles import full_pass

EOS = 2
both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def make_samples(*sizes: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """Random texts [L] and latents [T, D] of the given (L, T)."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randint(4, 300, (num_tokens,), generator=generator), randn(num_frames, 32, seed=i))
        for i, (num_tokens, num_frames) in enumerate(sizes)
    ]


def batch_of(samples: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """A right-padded batch with padding values that would change the loss if they were used."""
    texts, latents = zip(*samples, strict=True)
    return {
        "input_ids": pad_sequence(texts, True, padding_value=299),
        "attention_mask": length_mask(torch.tensor([len(text) for text in texts])),
        "units": pad_sequence(latents, True, padding_value=1e3),
        "frame_mask": length_mask(torch.tensor([len(frames) for frames in latents])),
    }


def train_on(
    model: SpeechLM, batch: dict[str, Tensor], noise: Tensor | None = None, **others: Tensor
) -> TrainingOutput:
    """A forward pass as in training, which corrupts what is read in training mode."""
    return model(**batch, noise=noise, corruption=corrupt_inputs, **others)


def listen(model: SpeechLM, heard: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the units that the model reads in each pass to `heard`."""
    read = model._read

    def read_and_tell(batch: SpeechBatch, *others: object) -> object:
        heard.append(batch.units)
        return read(batch, *others)

    monkeypatch.setattr(model, "_read", read_and_tell)


def noise_for(samples: list[tuple[Tensor, Tensor]], seed: int = 0) -> Tensor:
    return randn(2, sum(len(latents) for _, latents in samples), 8, seed=seed)


@both_layouts
@torch.no_grad()
def test_the_loss_of_one_sample_is_the_published_formula(layout):
    model = debug_model(**layout)
    ((text, latents),) = samples = make_samples((8, 10))
    noise = noise_for(samples)
    hidden, order = full_pass(model, text.tolist(), latents)

    energy, stop = [], []
    for t, truth in enumerate(latents):
        state = hidden[order.index(("speech", t)) - 1]
        a, b = (model.scoreloss.net(one, state) for one in noise[:, t])
        energy.append((a - truth).norm() + (b - truth).norm() - (a - b).norm())
        stop.append(-torch.log(1 - torch.sigmoid(model.eos_head(state))))
    end = hidden[order.index(("speech", len(latents) - 1))]
    stop.append(-100 * torch.log(torch.sigmoid(model.eos_head(end))))

    output = model(**batch_of(samples), noise=noise)
    torch.testing.assert_close(output.score_loss, torch.stack(energy).mean())
    torch.testing.assert_close(output.stop_loss, torch.stack(stop).mean())
    torch.testing.assert_close(output.loss, output.score_loss + output.stop_loss)
    torch.testing.assert_close(output.attraction - output.repulsion, output.score_loss)
    assert output.num_frames == len(latents)


@torch.no_grad()
def test_the_layout_can_be_chosen_for_the_call():
    streaming, offline = debug_model(**STREAM), debug_model()
    samples = make_samples((8, 10), (5, 3))
    batch = batch_of(samples) | {"noise": noise_for(samples)}
    expected = offline(**batch).loss
    assert streaming(**batch, layout=Layout()).loss == expected
    assert streaming(**batch).loss != expected


ragged = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 15)), min_size=2, max_size=4)


@both_layouts
@settings(max_examples=10)
@given(sizes=ragged)
@torch.no_grad()
def test_a_padded_batch_has_the_mean_loss_of_its_frames(layout, sizes):
    """All frames have the same weight, and so have all stop decisions."""
    model, samples = debug_model(**layout), make_samples(*sizes)
    noise, frames = noise_for(samples), [num_frames for _, num_frames in sizes]
    together = model(**batch_of(samples), noise=noise)
    alone = [
        model(**batch_of([sample]), noise=own)
        for sample, own in zip(samples, noise.split(frames, dim=1), strict=True)
    ]
    score = sum(one.score_loss * t for one, t in zip(alone, frames, strict=True)) / sum(frames)
    stops = [t + 1 for t in frames]
    stop = sum(one.stop_loss * t for one, t in zip(alone, stops, strict=True)) / sum(stops)
    torch.testing.assert_close(together.score_loss, score, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.stop_loss, stop, rtol=1e-5, atol=1e-5)


@both_layouts
def test_a_padded_batch_has_the_mean_gradient_of_its_frames(layout):
    sizes = [(9, 11), (2, 3), (5, 14)]
    model, samples = debug_model(**layout), make_samples(*sizes)
    # With this head at zero, it alone learns from stopping, and all else only from the score.
    torch.nn.init.zeros_(model.eos_head.weight)
    noise, frames = noise_for(samples), [num_frames for _, num_frames in sizes]

    def gradients(batch: list[tuple[Tensor, Tensor]], noise: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        model(**batch_of(batch), noise=noise).loss.backward()
        return {name: weight.grad for name, weight in model.named_parameters()}

    together = gradients(samples, noise)
    alone = [
        gradients([sample], own)
        for sample, own in zip(samples, noise.split(frames, dim=1), strict=True)
    ]
    for name, gradient in together.items():
        weights = [t + (name == "eos_head.weight") for t in frames]
        parts = [w * one[name] for w, one in zip(weights, alone, strict=True)]
        mean = torch.stack(parts).sum(0) / sum(weights)
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-5, msg=name)


def test_noise_is_drawn_from_the_global_generator_unless_given():
    model, samples = debug_model(), make_samples((4, 6))
    torch.manual_seed(5)
    drawn = model(**batch_of(samples)).loss
    torch.manual_seed(5)
    noise = torch.stack([torch.randn(6, 8), torch.randn(6, 8)])
    assert model(**batch_of(samples), noise=noise).loss == drawn


# Text dropout: the text-free branch of guidance.


@both_layouts
def test_dropped_text_is_the_lone_end_of_text(layout):
    model = debug_model(training_cfg=1.0, **layout).train()
    samples = make_samples((8, 9), (3, 12))
    noise = noise_for(samples)
    dropped = train_on(model, batch_of(samples), noise)
    model.eval()
    text_free = [(torch.tensor([EOS]), latents) for _, latents in samples]
    expected = model(**batch_of(text_free), noise=noise)
    torch.testing.assert_close(dropped.loss, expected.loss)
    torch.testing.assert_close(dropped.hidden_states, expected.hidden_states)


def test_text_is_never_dropped_in_evaluation():
    samples = make_samples((8, 9), (3, 12))
    noise = noise_for(samples)
    always, never = (debug_model(training_cfg=p) for p in (1.0, 0.0))
    assert (
        train_on(always, batch_of(samples), noise).loss
        == train_on(never, batch_of(samples), noise).loss
    )


def test_dropping_leaves_the_callers_batch_as_it_was():
    batch = batch_of(make_samples((8, 9), (3, 12)))
    before = copy.deepcopy(batch)
    train_on(debug_model(training_cfg=1.0, history_noise=1.0).train(), batch)
    assert all(batch[key].equal(before[key]) for key in batch)


def test_text_is_dropped_sample_by_sample_as_often_as_asked():
    torch.manual_seed(0)
    samples = make_samples((4, 1)) * 2000
    model = debug_model(training_cfg=0.25)
    lengths = train_on(model.train(), batch_of(samples)).lengths
    share = lengths.count(1 + 1) / len(lengths)  # one token and one frame are left
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 2000) ** 0.5)


# Noise on what the model reads, and dropout: in training only.


def test_history_noise_disturbs_what_is_read_and_not_what_is_to_be_said():
    torch.manual_seed(0)
    samples = make_samples((4, 6))
    noise = noise_for(samples)
    calm, noisy = debug_model(training_cfg=0.0), debug_model(training_cfg=0.0, history_noise=0.5)
    expected = calm(**batch_of(samples), noise=noise)
    assert train_on(noisy, batch_of(samples), noise).loss == expected.loss

    disturbed = train_on(noisy.train(), batch_of(samples), noise)
    changed = (disturbed.hidden_states != expected.hidden_states).any(-1)
    assert changed.tolist() == [False] * 4 + [True] * 6
    # One frame alone is predicted from text, so its loss shows that the target is untouched.
    (text, latents), first = samples[0], noise[:, :1]
    one_frame = batch_of([(text, latents[:1])])
    noisy_loss, calm_loss = (train_on(m, one_frame, first).score_loss for m in (noisy, calm))
    assert noisy_loss == calm_loss


@both_layouts
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frames_of_its_own_are_those_it_would_speak(temperature, layout, monkeypatch):
    """Scheduled sampling of all frames, with as many passes as there are frames."""
    text, frames, noise = [1, 7, 8, 9, 5, 2], 9, randn(9, 8, seed=4)
    model = debug_model(scheduled_sampling=1.0, training_cfg=0.0, **layout)
    rows = iter(noise)
    decoder = Decoder(model, lambda utterances: next(rows)[None])
    options = DecodingOptions(
        cfg=1.0,
        temperature=temperature,
        draws=SAMPLING_DRAWS,
        min_frames=frames,
        max_frames=frames,
    )
    decoder.join(Request(text), options=options)
    spoken = torch.cat([step.units for _ in range(frames) if (step := decoder.step())])

    batch = batch_of([(torch.tensor(text), randn(frames, 32))])
    heard = []
    monkeypatch.setattr("sled.training.objectives.SAMPLING_PASSES", frames)
    # The share of frames, which of them, and the temperature.
    drawn = iter([torch.ones(1, 1), torch.zeros(1, frames), torch.full((1, 1), temperature)])
    monkeypatch.setattr(torch, "rand", lambda *size, device: next(drawn))
    monkeypatch.setattr(torch, "randn", lambda *size, device: noise)
    listen(model, heard, monkeypatch)
    train_on(model.train(), batch, torch.stack((noise, noise)))
    torch.testing.assert_close(heard[-1][0, :-1], spoken[:-1], rtol=0, atol=1e-5)


def test_what_is_heard_as_something_else_is_never_replaced(monkeypatch):
    """Inputs that differ from the true units stand for a prompt, and are kept."""
    model, latents = debug_model(scheduled_sampling=1.0, training_cfg=0.0), randn(12, 32)
    batch = batch_of([(torch.tensor([1, 7, 8, 2]), latents)])
    history = batch["units"].clone()
    history[0, :6, :8] = 0.0
    heard: list[Tensor] = []
    listen(model, heard, monkeypatch)
    torch.manual_seed(0)
    for _ in range(5):
        train_on(model.train(), batch, history=history)
    for one in heard:
        assert one[0, :6].equal(history[0, :6])
    assert not all(one.equal(history) for one in heard)


def test_frames_of_its_own_are_heard_in_training_only_and_not_to_be_said():
    torch.manual_seed(0)
    (text, latents), *_ = samples = make_samples((4, 6), (3, 9))
    noise, settings = noise_for(samples), {"scheduled_sampling": 1.0, "training_cfg": 0.0}
    model, plain = debug_model(**settings), debug_model(training_cfg=0.0)
    expected = plain(**batch_of(samples), noise=noise)
    assert train_on(model, batch_of(samples), noise).loss == expected.loss
    trained = train_on(model.train(), batch_of(samples), noise)
    changed = (trained.hidden_states != expected.hidden_states).any(-1)
    assert changed[:4].sum() == changed[10:13].sum() == 0 < changed.sum()
    # One frame alone is predicted from text, so its loss shows that the target is untouched.
    one_frame, first = batch_of([(text, latents[:1])]), noise[:, :1]
    own, true = (train_on(m, one_frame, first).score_loss for m in (model, plain))
    assert own == true


def test_weights_have_gradients_after_frames_of_its_own_under_autocast():
    """The weights that autocast has cast without gradients are not used again."""
    settings = {"scheduled_sampling": 1.0, "training_cfg": 0.0}
    grown = []
    for model in (debug_model(training_cfg=0.0), debug_model(**settings)):
        with torch.autocast("cpu", torch.bfloat16):
            train_on(model.train(), batch_of(make_samples((4, 6)))).loss.backward()
        grown.append({name for name, p in model.named_parameters() if p.grad is not None})
    assert grown[0] == grown[1]


@pytest.mark.parametrize("kind", ["dropout", "attention_dropout", "activation_dropout"])
def test_each_dropout_acts_in_training_only(kind):
    samples = make_samples((4, 6))
    noise = noise_for(samples)
    model, plain = debug_model(training_cfg=0.0, **{kind: 0.5}), debug_model()

    def loss(model: SpeechLM) -> Tensor:
        return train_on(model, batch_of(samples), noise).loss

    assert loss(model) == loss(plain)
    assert loss(model.train()) != loss(plain)


@pytest.mark.parametrize("settings_of_score", [{"score_samples": 3}, {"score": "gaussian_mmd"}])
def test_other_scores_train_too(settings_of_score):
    model = debug_model(**settings_of_score)
    output = model(**batch_of(make_samples((4, 6), (2, 9))))
    output.loss.backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
