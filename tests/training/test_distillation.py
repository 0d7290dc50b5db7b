"""Distillation of guidance: the states of the teacher, and training of the student."""

import pytest
import torch

from sled import TTS
from sled.decoding import Decoder, DecodingOptions, Request
from sled.model.batch import SpeechBatch
from sled.model.config import Config
from sled.model.layout import Layout
from sled.training.distillation import GuidedTeacher, make_student
from sled.training.objectives import corrupt_inputs
from tests.debug import GOLDENS, STREAM, debug_checkpoint, debug_model, randn
from tests.training.runs import fit, flags, logged, train, weights

BATCH = {
    "input_ids": torch.tensor([[1, 7, 8, 2], [1, 9, 2, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    "units": randn(2, 6, 32),
    "frame_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
}


def read(batch: dict[str, torch.Tensor], layout: Layout) -> SpeechBatch:
    return SpeechBatch(**batch, layout=layout, conditions={})


def states(cfg: float, layout: Layout | None = None) -> torch.Tensor:
    return GuidedTeacher(debug_model(**STREAM), cfg).states(read(BATCH, layout or Layout(3, 4)))


@pytest.mark.parametrize("layout", [None, Layout()])
def test_a_teacher_is_guided_as_decoding_is(layout):
    """cfg 1 gives the state with the text; other scales extrapolate linearly."""
    model = debug_model(**STREAM)
    with torch.no_grad():
        with_text, _ = model.predict(read(BATCH, layout or model.layout))
    text_free, plain, guided = (states(cfg, layout) for cfg in (0.0, 1.0, 3.0))
    torch.testing.assert_close(plain, with_text)
    torch.testing.assert_close(guided, text_free + 3 * (with_text - text_free))
    assert not torch.allclose(guided, plain)


@pytest.mark.parametrize("settings", [{}, STREAM])
def test_frames_drawn_from_its_states_are_those_of_decoding_under_guidance(settings):
    """With the decoder's own frames as history, the states are those the frames were drawn from."""
    model, token_ids = debug_model(**settings), [1, 7, 8, 2]
    decoder = Decoder(model)
    options = DecodingOptions(cfg=2.5, min_frames=6, max_frames=6)
    decoder.join(Request(token_ids), torch.Generator().manual_seed(3), options)
    frames = torch.cat([step.units for _ in range(6) if (step := decoder.step())])  # [6, D]
    batch = {
        "input_ids": torch.tensor([token_ids]),
        "attention_mask": torch.ones(1, 4, dtype=torch.long),
        "units": frames[None],
        "frame_mask": torch.ones(1, 6, dtype=torch.long),
    }
    guided = GuidedTeacher(model, 2.5).states(read(batch, model.layout))
    generator = torch.Generator().manual_seed(3)
    width = model.config.architecture.noise_channels
    noise = torch.stack([torch.randn(width, generator=generator) for _ in range(6)])
    with torch.no_grad():
        drawn = model.draw(guided[:-1], noise)  # after the last one comes the stop
    torch.testing.assert_close(drawn, frames, rtol=0, atol=1e-5)


def test_a_student_is_as_far_as_its_states_are():
    """The distance is 0 for the states of the teacher, and their mean square for states of 0."""
    model = debug_model(training_cfg=0.0).train()
    with torch.no_grad():
        own, _ = model.predict(read(BATCH, model.layout))
    assert model(**BATCH, guided_states=own).score_loss == 0
    doubled = model(**BATCH, guided_states=2 * own)
    assert doubled.score_loss.item() == pytest.approx(1 / 4)


def test_a_student_reads_every_text_and_leaves_the_head_alone():
    model = debug_model(training_cfg=0.5, history_noise=3.0, scheduled_sampling=1.0).train()
    make_student(model, 2.0)
    wanted = randn(12, model.config.architecture.hidden_size)
    model(**BATCH, guided_states=wanted, corruption=corrupt_inputs).loss.backward()
    with_gradient = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert with_gradient == {
        name for name, _ in model.named_parameters() if not name.startswith("scoreloss.")
    }
    config = model.config.objective
    assert (config.training_cfg, config.history_noise, config.scheduled_sampling) == (0, 0, 0)


def test_a_run_brings_the_student_to_the_teacher(corpus, tmp_path):
    """Also after resuming, where the teacher is still the initial model; then one pass suffices."""
    base, student = fit(corpus, tmp_path / "base", training_cfg=0.5), tmp_path / "student"
    settings = {
        "finetune_path": base,
        "distill_cfg": 30.0,  # a model that knows so little feels no less
        "max_steps": 12,
        "lr_scheduler_type": "constant",
        "save_strategy": "steps",
        "save_steps": 6,
    }
    fit(corpus, student, **settings)
    distances = logged(student, "score_loss")
    assert distances[-1] < 0.5 * distances[0]
    assert logged(student, "repulsion") == [0.0] * 12
    before, after = weights(base), weights(student)
    for name in before:
        assert before[name].equal(after[name]) == name.startswith(("scoreloss.", "bceloss."))
    assert Config.load(student).speaking.distilled_cfg == 30.0
    tts = TTS.from_pretrained(student, codec=GOLDENS / "codec")
    assert tts.default_options.cfg == 1.0

    resumed = tmp_path / "resumed"
    fit(corpus, resumed, **settings | {"max_steps": 6})
    fit(corpus, resumed, **settings)
    assert logged(resumed, "score_loss")[6:] == distances[6:]


def test_only_what_is_there_can_be_guided(corpus, tmp_path):
    with pytest.raises(ValueError, match="--distill_cfg 2.*--finetune_path"):
        train(flags(corpus, tmp_path / "new", distill_cfg=2.0))


def test_other_models_are_guided_by_default(tmp_path):
    tts = TTS.from_pretrained(debug_checkpoint(tmp_path / "model"))
    assert tts.default_options.cfg == 2.0
