"""Speech samples in TensorBoard: the right texts, in every layout, without effect on training."""

import io
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from transformers.integrations import TensorBoardCallback

from sled.data.cache.codes import cut_codes, load_cached
from sled.model.lm import SpeechLM
from sled.training.callbacks.samples import SpeechSamples, mel_picture
from tests.debug import (
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    SAMPLE_RATE,
    STREAM,
    debug_codec,
    debug_model,
    debug_tokenizer,
    randn,
)
from tests.training.runs import TEXTS, assert_same_weights, fit, logged

# Frames of the two samples that are spoken, rounded up: clips of 0.2 and 0.25 s.
NUM_FRAMES = [15, 19]


def show(corpus: Path, output: Path, **changes: object) -> EventAccumulator:
    """Train four steps with two evaluations, and read what was written to TensorBoard."""
    fit(corpus, output, **(evaluating(corpus) | changes))
    return read_events(output)


def evaluating(corpus: Path) -> dict[str, object]:
    """Settings of a run that writes samples at its evaluations."""
    steps = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2}
    return {"report_to": "tensorboard", "eval_manifest": corpus / "cached", **steps}


def read_events(output: Path) -> EventAccumulator:
    """What a run has written to TensorBoard, in one process."""
    (folder,) = (output / "runs").iterdir()
    return EventAccumulator(str(folder), {"audio": 0, "images": 0, "tensors": 0}).Reload()


def heard(events: EventAccumulator, tag: str) -> dict[int, np.ndarray]:
    """Waveforms under a tag, by training step."""
    waveforms = {}
    for event in events.Audio(tag):
        waveform, rate = soundfile.read(io.BytesIO(event.encoded_audio_string))
        assert rate == SAMPLE_RATE
        waveforms[event.step] = waveform
    return waveforms


# In whole runs.


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
def test_each_evaluation_is_heard_and_seen_in_every_layout_of_the_model(layout, corpus, tmp_path):
    events = show(corpus, tmp_path, **layout)
    spoken = ["offline", "stream"] if layout else ["offline"]
    tags = {f"utterance_{i}/{name}" for i in (1, 2) for name in ("recording", *spoken)}
    assert set(events.Tags()["audio"]) == tags
    assert set(events.Tags()["images"]) == {f"{tag}_mel" for tag in tags}
    for tag in tags:
        steps = [2] if tag.endswith("recording") else [2, 4]
        assert list(heard(events, tag)) == steps
        assert [image.step for image in events.Images(f"{tag}_mel")] == steps


def test_the_texts_and_recordings_are_the_first_of_the_evaluation_corpus(corpus, tmp_path):
    events, codec = show(corpus, tmp_path, num_eval_utterances=3), debug_codec()
    for number, cut in enumerate(load_cached(corpus / "cached").subset(first=3), 1):
        (text,) = events.Tensors(f"utterance_{number}/text/text_summary")
        assert text.tensor_proto.string_val[0].decode() == TEXTS[number - 1]
        expected = codec.decode(codec.codes_to_units(cut_codes(cut))[None])[0].numpy()
        expected = expected / max(1.0, np.abs(expected).max())
        (waveform,) = heard(events, f"utterance_{number}/recording").values()
        np.testing.assert_allclose(waveform, expected, atol=1e-4)
    assert "utterance_4/recording" not in events.Tags()["audio"]


def test_audio_and_codes_sound_alike(corpus, tmp_path):
    codes = show(corpus, tmp_path / "codes")
    audio = show(corpus, tmp_path / "audio", eval_manifest=corpus / "cuts.jsonl.gz")
    for name in ("recording", "offline"):
        ours, theirs = (heard(events, f"utterance_2/{name}")[2] for events in (codes, audio))
        np.testing.assert_array_equal(ours, theirs)


def test_speech_that_does_not_end_is_cut_at_twice_the_longest_recording(corpus, tmp_path):
    """An untrained model stops with probability 0.5, which is below the threshold."""
    events = show(corpus, tmp_path, learning_rate=0.0)
    for number in (1, 2):
        for waveform in heard(events, f"utterance_{number}/offline").values():
            assert len(waveform) == 2 * max(NUM_FRAMES) * HOP


def test_nothing_but_training_makes_a_difference(corpus, tmp_path):
    """The noise is always the same: without training in between, samples are equal."""
    trained = fit(corpus, tmp_path / "trained", max_steps=5)
    for learning_rate, same in ((0.0, True), (1e-3, False)):
        output = tmp_path / str(learning_rate)
        events = show(corpus, output, finetune_path=trained, learning_rate=learning_rate)
        first, second = heard(events, "utterance_1/offline").values()
        assert np.ptp(first) > 0
        assert np.array_equal(first, second) == same


def test_training_goes_on_as_if_nothing_had_been_said(corpus, tmp_path):
    """Bit-equal, with all random parts of training switched on."""
    random = {"history_noise": 0.2, "training_cfg": 0.3, **STREAM}
    silent, loud = tmp_path / "silent", tmp_path / "loud"
    show(corpus, silent, num_eval_utterances=0, **random)
    assert show(corpus, loud, **random).Tags()["audio"]
    assert_same_weights(silent, loud)
    assert logged(silent, "loss") == logged(loud, "loss")


def test_without_tensorboard_a_line_says_how_to_hear_it(corpus, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "sled.training.callbacks.samples"):
        fit(corpus, tmp_path, eval_manifest=corpus / "cached", eval_strategy="steps")
    assert "--report_to tensorboard" in caplog.text


# By itself.


class Notebook:
    """A TensorBoard writer that keeps the audio."""

    def __init__(self) -> None:
        self.audio: dict[str, Tensor] = {}

    def add_audio(self, tag: str, audio: Tensor, step: int, sample_rate: int) -> None:
        self.audio[tag] = audio

    def add_image(self, tag: str, picture: Tensor, step: int) -> None:
        assert 0 <= picture.min() <= picture.max() <= 1

    def add_text(self, tag: str, text: str, step: int) -> None:
        pass

    def flush(self) -> None:
        pass


class Clips:
    """A dataset in which every cut has the same twelve frames."""

    tokenizer = debug_tokenizer()

    def __getitem__(self, cut: object) -> dict[str, object]:
        codec = debug_codec()
        codes = torch.arange(12 * codec.num_codebooks).view(-1, 12) % codec.codebook_size
        return {
            "input_ids": self.tokenizer.encode("one two"),
            "speech": codes,
            "num_frames": 12,
            "num_given": 0,
        }


def speak(model: SpeechLM, notebook: Notebook | None) -> list[float]:
    """One evaluation of a model; returns the pauses reported to the trainer."""
    pauses: list[float] = []
    cut = SimpleNamespace(supervisions=[SimpleNamespace(text="one two")])
    trainer = SimpleNamespace(
        model=model,
        codec=debug_codec(),
        train_dataset=Clips(),
        eval_batches=SimpleNamespace(open_epoch=lambda epoch: [cut]),
        callback_handler=SimpleNamespace(callbacks=[TensorBoardCallback(notebook)]),
        accelerator=SimpleNamespace(wait_for_everyone=lambda: None),
        progress=SimpleNamespace(pause=pauses.append),
    )
    samples = SpeechSamples(trainer, num_utterances=2)  # type: ignore[arg-type]
    samples.on_evaluate(None, SimpleNamespace(global_step=7), None)  # type: ignore[arg-type]
    return pauses


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_it_was_in(training):
    model = debug_model(**STREAM).train(training)
    notebook = Notebook()
    (pause_s,) = speak(model, notebook)
    assert notebook.audio.keys() == {f"utterance_1/{n}" for n in ("recording", "offline", "stream")}
    assert {module.training for module in model.modules()} == {training}
    assert pause_s > 0


def test_layers_compiled_for_training_are_not_compiled_for_speaking():
    """Every new shape would be compiled, and evict what training needs."""
    model, notebook, graphs = debug_model(), Notebook(), []

    def backend(graph, inputs):  # type: ignore[no-untyped-def]
        graphs.append(graph)
        return graph.forward

    for layer in model.model.layers:
        layer.compile(backend=backend)
    speak(model, notebook)
    assert notebook.audio.keys() == {"utterance_1/recording", "utterance_1/offline"}
    assert graphs == []
    inputs = randn(5, 32)
    model.model(inputs, model.model.pack([5], inputs))
    assert graphs != []  # they would have been seen


def test_a_model_that_training_has_broken_is_shown_as_silence():
    model, notebook = debug_model(), Notebook()
    torch.nn.init.constant_(model.z_proj.weight, float("nan"))
    speak(model, notebook)
    assert notebook.audio["utterance_1/offline"].tolist() == [0.0] * (2 * 12 * HOP)


def test_a_process_without_a_writer_only_waits():
    """As all but the first process do."""
    (pause_s,) = speak(debug_model(), None)
    assert pause_s > 0


# The pictures.


def tone(hz: float, level: float = 0.1, seconds: float = 0.3) -> Tensor:
    time_s = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return level * torch.sin(2 * torch.pi * hz * time_s)


def test_a_picture_has_colours_within_bounds_and_time_from_left_to_right():
    picture = mel_picture(tone(500), SAMPLE_RATE)
    assert picture.shape == (3, 160, 1 + round(0.3 * SAMPLE_RATE) // 256)
    assert 0 <= picture.min() <= picture.max() <= 1
    silence_first = mel_picture(torch.cat((torch.zeros(SAMPLE_RATE), tone(500))), SAMPLE_RATE)
    brightness = silence_first.sum((0, 1))
    assert brightness[:80].max() < brightness[100:110].min()


def test_the_higher_a_tone_the_higher_its_line():
    rows = [
        int(mel_picture(tone(hz), SAMPLE_RATE).sum((0, 2)).argmax())
        for hz in (150, 400, 1000, 3000, 9000)
    ]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] > 130 > 30 > rows[-1]


def test_the_louder_the_brighter():
    noise = randn(SAMPLE_RATE // 4)
    brightness = [mel_picture(x * noise, SAMPLE_RATE).sum().item() for x in (1e-4, 1e-3, 1e-2, 0.1)]
    assert brightness == sorted(brightness)


def test_the_shortest_speech_has_a_picture_too():
    assert mel_picture(tone(500)[:HOP], SAMPLE_RATE).shape[2] > 1
