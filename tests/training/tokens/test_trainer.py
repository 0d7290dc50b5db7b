"""The trainer of token models: losses, epochs, continuation and schedules."""

import math
from copy import deepcopy

import pytest
import torch
import yaml

from sled.decoding import DecodingOptions, Request, generate
from sled.model.ids import Sampling
from sled.model.layout import Layout
from sled.model.tokens.digits import FSQ_SIZE, token_digits
from sled.model.tokens.files import load_token_lm, published_state, save_token_config
from sled.model.tokens.samples import TokenSample
from sled.training.tokens.history import noisy_history
from sled.training.tokens.published_checkpoints import PublishedCheckpoints, published_start
from sled.training.tokens.samples import Start, learning_batch
from sled.training.tokens.schedules import make_schedule
from tests.commands import run as command
from tests.debug import debug_tokenizer
from tests.tokens import debug_cosyvoice, debug_cosyvoice2, debug_simpletts
from tests.training.tokens.runs import MemoryLoader, logged, make_batch, make_trainer, run

MODELS = [debug_cosyvoice, debug_cosyvoice2, debug_simpletts]
BATCHES = [make_batch(seed) for seed in range(5)]


def assert_same(one, other):
    ours, theirs = one.lm.state_dict(), other.lm.state_dict()
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


def without_dropout(model):
    model = deepcopy(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize("make_model", MODELS)
def test_a_model_learns_its_batches(make_model, tmp_path):
    trainer = run(make_model(), tmp_path, BATCHES[:1], max_steps=30, learning_rate=3e-3)
    losses = logged(trainer, "loss")
    assert losses[-1] < 0.7 * losses[0]
    assert logged(trainer, "acc")[-1] > logged(trainer, "acc")[0]
    assert logged(trainer, "tokens_per_second")[0] > 0


def test_attention_is_guided_to_what_is_said(tmp_path):
    batches = [make_batch(0, size=6, spoken=True)]
    settings = {"max_steps": 60, "learning_rate": 3e-3, "alignment_weight": 1.0}
    trainer = run(debug_cosyvoice2(), tmp_path, batches, **settings)
    losses = logged(trainer, "alignment_loss")
    assert losses[-1] < 0.5 * losses[0]
    # All speech tokens of a step count alike, however it is divided.
    settings |= {"max_steps": 1, "gradient_accumulation_steps": 2, "streaming_share": 0.0}
    batches = [make_batch(seed, size, spoken=True) for seed, size in ((0, 1), (1, 3))]
    model = debug_cosyvoice2()
    trainer = run(model, tmp_path / "two", batches, **settings)
    samples = [learning_batch(batch, model, 0.0).samples for batch in batches]
    both = model([*samples[0], *samples[1]], 1)
    assert logged(trainer, "alignment_loss") == pytest.approx([both.alignment_loss.item()], 1e-4)
    assert logged(trainer, "loss") == pytest.approx(
        [(both.loss + both.alignment_loss).item()], rel=1e-4
    )


@pytest.mark.parametrize("make_model", MODELS)
def test_bfloat16_and_recomputed_states_change_little(make_model, tmp_path):
    model = without_dropout(make_model())
    plain = run(model, tmp_path / "plain", BATCHES, max_steps=2)
    changes = {"bf16": True, "gradient_checkpointing": True}
    other = run(model, tmp_path / "other", BATCHES, max_steps=2, **changes)
    assert logged(other, "loss") == pytest.approx(logged(plain, "loss"), rel=0.02)


@pytest.mark.parametrize("make_model", MODELS)
def test_the_loss_of_a_step_is_that_of_all_its_samples(make_model, tmp_path):
    model = without_dropout(make_model())
    trainer = run(
        model,
        tmp_path,
        BATCHES[:3],
        max_steps=1,
        gradient_accumulation_steps=3,
        streaming_share=0.0,
    )
    together = [s for b in BATCHES[:3] for s in learning_batch(b, model, 0.0).samples]
    expected = model(together).loss.item()
    if make_model is not debug_simpletts:  # whose further loss is not a mean over targets
        assert logged(trainer, "loss") == pytest.approx([expected], rel=1e-4)
    assert logged(trainer, "loss") == pytest.approx([expected], rel=2e-3)


def test_a_continued_run_is_that_without_interruption(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 1, "ema_decay": 0.5, "max_steps": 7}
    settings |= {"gradient_accumulation_steps": 2, "schedule": "warmuplr", "warmup_steps": 3}
    model = debug_cosyvoice2()
    whole = run(model, tmp_path / "whole", BATCHES, **settings)
    # 3 steps an epoch: one run ends within an epoch, one with its last batch.
    for steps in (2, 3, 7):
        part = run(model, tmp_path / "parts", BATCHES, **(settings | {"max_steps": steps}))
    assert part.state.global_step == 7
    assert_same(part, whole)
    assert logged(part, "loss") == logged(whole, "loss")
    assert part.epochs_completed == whole.epochs_completed == 2


def test_a_run_of_epochs_writes_published_checkpoints(tmp_path):
    published = PublishedCheckpoints(
        tmp_path / "published", {"max_epoch": 2}, published_state, save_token_config
    )
    parts = {"published": published, "eval_loader": MemoryLoader(BATCHES[:2])}
    model = debug_cosyvoice2()
    trainer = run(model, tmp_path / "run", BATCHES, parts, max_epochs=2)
    names = sorted(path.name for path in published.folder.iterdir())
    assert names == ["config.json"] + [
        f"epoch_{e}_whole.{form}" for e in (0, 1) for form in ("pt", "yaml")
    ]
    record = yaml.safe_load((published.folder / "epoch_1_whole.yaml").read_text())
    assert (record["epoch"], record["step"], record["max_epoch"]) == (1, 10, 2)
    assert record["loss_dict"] == pytest.approx(
        {"loss": logged(trainer, "eval_loss")[-1], "acc": logged(trainer, "eval_acc")[-1]}
    )
    # The run is over, also if it was stopped before its result was written.
    again = run(model, tmp_path / "run", BATCHES, parts, max_epochs=2)
    assert again.epochs_completed == 2
    assert len(list(published.folder.glob("*.pt"))) == 2
    loaded = load_token_lm(published.folder / "epoch_1_whole.pt")
    for name, weight in trainer.lm.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)


def test_the_first_weights_tell_where_the_run_begins_to_count(tmp_path):
    """A run that begins with them goes on there."""
    start = Start(epoch=3, step=70)
    checkpoints = PublishedCheckpoints(tmp_path, {}, published_state, save_token_config)
    checkpoints.save_initial(debug_cosyvoice2(), start)
    assert published_start(tmp_path / "init.pt") == start


def test_the_mean_of_a_run_is_written_by_sled_average(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    run(debug_cosyvoice2(), tmp_path / "run", BATCHES, **settings)
    folders = [tmp_path / "run" / f"checkpoint-{step}" for step in (1, 2)]
    for folder in folders:
        debug_tokenizer().save_pretrained(folder)
    assert command("average", "--checkpoints", *map(str, folders), "-o", str(tmp_path / "m")) == 0
    mean, first, second = (
        load_token_lm(folder).llm_decoder.weight for folder in (tmp_path / "m", *folders)
    )
    torch.testing.assert_close(mean, (first + second) / 2)


def test_evaluation_does_not_depend_on_batches(tmp_path):
    results = []
    for loader in (
        MemoryLoader([make_batch(1, size=1), make_batch(2, size=3)]),
        MemoryLoader([make_batch(2, size=3), make_batch(1, size=1)]),
    ):
        parts = {"eval_loader": loader}
        trainer = make_trainer(debug_cosyvoice2(), tmp_path, BATCHES, parts, streaming_share=0.0)
        results.append(trainer.evaluate())
    assert results[0]["eval_loss"] == pytest.approx(results[1]["eval_loss"])


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path):
    trainer = make_trainer(debug_cosyvoice2(), tmp_path, BATCHES, max_steps=2, learning_rate=1e-2)
    before = {name: one.clone() for name, one in trainer.lm.state_dict().items()}
    handle = trainer.lm.llm_embedding.weight.register_hook(lambda g: g * torch.nan)
    trainer.train()
    handle.remove()
    assert trainer.state.global_step == 2
    for name, weight in trainer.lm.state_dict().items():
        assert weight.equal(before[name]), name


def test_samples_that_do_not_fit_are_named(tmp_path):
    model = debug_cosyvoice2()
    with pytest.raises(ValueError, match="utt0_0 has the speech token .* the model has 24"):
        learning_batch(make_batch(0, speech=400), model, 0.0)
    batch = make_batch(0)
    del batch["speech_token"]
    with pytest.raises(ValueError, match="utt0_0 has no speech tokens"):
        learning_batch(batch, model, 0.0)
    with pytest.raises(ValueError, match="vector of 7 numbers, the model takes 6"):
        learning_batch(make_batch(0, width=7), debug_cosyvoice(), 0.0)
    with pytest.raises(ValueError, match="an epoch has no batch"):
        run(model, tmp_path, [])


def test_schedules_rise_stay_and_fall():
    hold = make_schedule("NoamHoldAnnealing", warmup_steps=10, hold_steps=20, max_steps=100)
    assert hold(0) == pytest.approx(1 / 11)
    assert hold(15) == hold(29) == 1.0
    assert 1 > hold(60) > hold(90) > 0 == hold(101)
    warm = make_schedule("warmuplr", warmup_steps=100)
    assert max(range(400), key=warm) == 99 and warm(99) == pytest.approx(1.0)
    assert warm(399) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="at least 1 step of warm-up"):
        make_schedule("NoamHoldAnnealing", warmup_steps=0, max_steps=10)


def test_preferences_make_the_chosen_speech_more_likely(tmp_path):
    model = debug_cosyvoice2()
    batches = [make_batch(seed, size=4, rejected=True) for seed in range(2)]
    parts = {"reference": deepcopy(model), "eval_loader": MemoryLoader(BATCHES[:1])}
    settings = {"max_steps": 30, "learning_rate": 3e-3, "preference_beta": 0.1}
    trainer = run(model, tmp_path, batches, parts, **settings)
    losses, rewards = logged(trainer, "dpo_loss"), logged(trainer, "chosen_reward")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)  # the model is the reference
    assert logged(trainer, "loss")[0] == pytest.approx(losses[0] + logged(trainer, "sft_loss")[0])
    assert losses[-1] < losses[0] and rewards[-1] > logged(trainer, "reject_reward")[-1]
    assert logged(trainer, "dpo_acc")[-1] == 1.0
    assert logged(trainer, "sft_loss")[-1] < logged(trainer, "sft_loss")[0]
    assert trainer.evaluate()["eval_loss"] > 0  # of a corpus without rejected speech
    with pytest.raises(ValueError, match="no rejected speech tokens"):
        run(model, tmp_path / "other", BATCHES, {"reference": deepcopy(model)})


def test_a_batch_without_a_rejected_speech_is_refused_before_processes_count_their_batches(
    tmp_path,
):
    """Processes that had counted it would wait for its gradients."""
    parts = {"reference": deepcopy(debug_cosyvoice2())}
    trainer = make_trainer(deepcopy(debug_cosyvoice2()), tmp_path, BATCHES, parts)
    trainer.take(make_batch(0, rejected=True))
    with pytest.raises(ValueError, match="no rejected speech tokens"):
        trainer.take(BATCHES[0])


def test_an_epoch_without_a_batch_ends_the_run_on_all_processes(tmp_path, monkeypatch):
    """Also on those that had a batch."""
    trainer = make_trainer(deepcopy(debug_cosyvoice2()), tmp_path, BATCHES)
    monkeypatch.setattr(trainer.accelerator, "gather", lambda numbers: 0 * numbers)
    with pytest.raises(ValueError, match="an epoch has no batch"):
        trainer.get_batch_samples(iter(trainer.train_loader), 1, trainer.args.device)


def test_both_speeches_of_a_pair_have_one_layout():
    model = debug_cosyvoice2()
    batch = make_batch(1, size=40, rejected=True)
    batch["reject_speech_token_len"] //= 3  # too short for the streaming layout
    torch.manual_seed(0)
    mixed = learning_batch(batch, model, 1.0)
    for chosen, rejected in zip(mixed.samples, mixed.rejected, strict=True):
        assert chosen.layout == rejected.layout
    plain = learning_batch(make_batch(1, size=40), model, 0.5)
    assert len({sample.layout for sample in plain.samples}) == 2


def test_noise_on_the_history_changes_what_is_read_and_not_what_is_learned():
    torch.manual_seed(0)
    speech = torch.randint(FSQ_SIZE, (4000,))
    assert noisy_history(speech, 0.0, FSQ_SIZE).equal(speech)
    digits = token_digits()
    for _ in range(3):
        noisy = noisy_history(speech, 0.6, FSQ_SIZE)
        assert noisy.min() >= 0 and noisy.max() < FSQ_SIZE
        kept = (digits[noisy] == digits[speech]).float().mean()
        assert 1 - 0.6 * 2 / 3 - 0.02 < kept < 1  # a digit that is drawn may be the same
    few = noisy_history(speech % 24, 0.5, 24)
    assert 0.5 < (few == speech % 24).float().mean() < 1 and few.max() < 24
    model = debug_cosyvoice2()
    clean, noisy = (
        learning_batch(BATCHES[0], model, 0.0, history_noise=noise) for noise in (0.0, 1.0)
    )
    for one, other in zip(clean.samples, noisy.samples, strict=True):
        (read, learned), (noisily, same) = model.sequence(one), model.sequence(other)
        assert learned.equal(same) and not read.equal(noisily)
        count = len(one.text) + 2  # the start, the text and what begins speech
        assert read[:count].equal(noisily[:count])


def test_noise_on_the_history_is_a_flag(tmp_path):
    plain, noisy = (
        run(debug_cosyvoice2(), tmp_path / str(noise), BATCHES, history_noise=noise, max_steps=2)
        for noise in (0.0, 0.5)
    )
    assert logged(plain, "loss") != logged(noisy, "loss")
    with pytest.raises(ValueError, match="--history_noise 2"):
        run(debug_cosyvoice2(), tmp_path / "more", BATCHES, history_noise=2.0)


@pytest.mark.parametrize("make_model", MODELS)
def test_a_model_that_also_learns_without_texts_can_be_guided(make_model, tmp_path):
    trainer = run(make_model(), tmp_path, BATCHES, training_cfg=0.5, max_steps=2)
    trainer.save_lm(tmp_path)
    model = load_token_lm(tmp_path)
    assert model.config.objective.training_cfg == 0.5
    torch.manual_seed(0)
    samples = learning_batch(make_batch(1, size=40), model, 1.0, training_cfg=0.5).samples
    textless = [sample for sample in samples if not len(sample.text)]
    assert 8 < len(textless) < 32
    assert all(sample.layout == Layout() for sample in textless)
    # Each id has the highest score under guidance.
    conditions = samples[0].conditions
    request = Request([7, 8, 9, model.config.architecture.eos_token_id], conditions=conditions)
    greedy = {"temperature": 1e-6, "sampling": Sampling(), "length_tolerance": None}
    options = DecodingOptions(cfg=3.0, max_frames=8, **greedy)
    generator = torch.Generator().manual_seed(0)
    [spoken] = generate(model, [request], generator, options)
    texts = [torch.tensor([7, 8, 9]), torch.tensor([], dtype=torch.long)]
    pair = [TokenSample(text, spoken.units, Layout(), conditions) for text in texts]
    with torch.no_grad():
        outputs = [model([sample]) for sample in pair]
    given, free = (one.log_p[one.targets >= 0][: len(spoken.units)] for one in outputs)
    guided = (free + 3.0 * (given - free))[:, : model.ids.speech]
    assert guided.argmax(-1).equal(spoken.units)
    with pytest.raises(ValueError, match="no guidance"):
        generate(make_model().eval(), [request], generator, options)
