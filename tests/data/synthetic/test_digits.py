"""The digits corpus: drawn strings, trimmed clips, and resumption."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.data.manifests import load_cuts, read_texts
from sled.data.synthetic import digits, teachers

SMALL = {"train": 40, "joined": 6, "valid": 8, "test": 16}


def toy_teacher(text: str, seed: int) -> np.ndarray:
    """A tone of 0.1 s for each digit in 0.3 s of silence; the seed decides the loudness."""
    times = np.arange(2_400) / 24_000
    pitches_hz = [300 + 100 * digits.DIGIT_WORDS.index(word) for word in text.split()]
    tones = [np.sin(2 * np.pi * pitch * times) for pitch in pitches_hz]
    silence = np.zeros(7_200)
    return np.concatenate([silence, *tones, silence]) * (0.1 + seed % 7 / 10)


def prepare(folder: Path, seed: int = 0) -> dict[str, Path]:
    return digits.prepare_digits(folder, **SMALL, seed=seed, teacher=toy_teacher)


@given(
    train=st.integers(1, 3_000),
    valid=st.integers(1, 100),
    test=st.integers(1, 300),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_held_out_strings_are_spread_unique_and_not_trained_on(
    train: int, valid: int, test: int, seed: int
) -> None:
    sizes = {"train": train, "valid": valid, "test": test}
    strings = digits.draw_strings(sizes, seed)
    joined = (
        {" ".join(pair) for pair in digits.draw_joined(strings, 20, seed)} if train > 9 else set()
    )

    assert {split: len(texts) for split, texts in strings.items()} == sizes
    longer = {split: {text for text in texts if " " in text} for split, texts in strings.items()}
    assert not longer["valid"] & longer["test"]
    assert not (longer["train"] | joined) & (longer["valid"] | longer["test"])
    for split in ("valid", "test"):
        assert len(set(strings[split])) == sizes[split]
        counts = Counter(len(text.split()) for text in strings[split])
        full = {1: 10, 2: 25}  # lengths that have no more strings to give
        open_counts = [counts[n] for n in range(1, 9) if counts[n] < full.get(n, 10**n)]
        assert max(open_counts) - min(open_counts) <= 1


def test_training_favours_short_strings() -> None:
    strings = digits.draw_strings({"train": 1_900, "valid": 8, "test": 8}, seed=0)["train"]
    counts = Counter(len(text.split()) for text in strings)
    assert counts == {1: 300, 2: 300, 3: 300, 4: 200, 5: 200, 6: 200, 7: 200, 8: 200}
    lone = Counter(text for text in strings if " " not in text)
    assert set(lone.values()) == {30}  # every digit as often as every other


def test_numbers_are_read_digit_by_digit() -> None:
    assert digits.to_words(42, length=4) == "zero zero four two"


@given(
    before=st.integers(0, 12_000),
    after=st.integers(0, 12_000),
    loudness=st.floats(0.01, 1.0),
)
@settings(max_examples=30, deadline=None)
def test_tidy_clips_have_fixed_margins_and_loudness(
    before: int, after: int, loudness: float
) -> None:
    speech = loudness * np.sin(np.arange(12_000))
    clip = teachers.tidy(np.concatenate([np.zeros(before), speech, np.zeros(after)]))

    voiced = np.flatnonzero(np.abs(clip) > 1e-3)
    frame = 240  # the margins are found to 10 ms
    assert abs(voiced[0] - 2_400) <= frame
    assert abs(len(clip) - 1 - voiced[-1] - 3_600) <= frame
    rms = np.sqrt(np.mean(clip[voiced[0] : voiced[-1] + 1] ** 2))
    assert rms == pytest.approx(teachers.SPEECH_RMS, rel=0.02)


def test_silent_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="silent"):
        teachers.tidy(np.zeros(24_000))


def test_corpus_holds_what_was_drawn(tmp_path: Path) -> None:
    manifests = prepare(tmp_path / "corpus")
    assert {split: len(load_cuts(path)) for split, path in manifests.items()} == {
        "train": 46,
        "valid": 8,
        "test": 16,
    }
    for cut in load_cuts(manifests["test"]):
        waveform = cut.load_audio()[0]
        num_digits = len(cut.supervisions[0].text.split())
        assert cut.sampling_rate == 24_000 and len(waveform) == cut.num_samples
        assert cut.duration == pytest.approx(0.10 + 0.1 * num_digits + 0.15, abs=0.011)


def test_joined_readings_hold_both_strings_and_a_pause(tmp_path: Path) -> None:
    cuts = list(load_cuts(prepare(tmp_path)["train"]))[SMALL["train"] :]
    assert len(cuts) == SMALL["joined"]
    pauses = []
    for cut in cuts:
        num_digits = len(cut.supervisions[0].text.split())
        assert num_digits >= 4
        pauses.append(cut.duration - 2 * 0.25 - 0.1 * num_digits)
    assert all(-0.03 < pause < teachers.MAX_PAUSE_S + 0.03 for pause in pauses)
    assert max(pauses) - min(pauses) > 0.05


def test_same_seed_same_corpus(tmp_path: Path) -> None:
    first, again = prepare(tmp_path / "a"), prepare(tmp_path / "b")
    other = prepare(tmp_path / "c", seed=1)
    for split in first:
        assert list(read_texts(first[split])) == list(read_texts(again[split]))
    assert list(read_texts(first["test"])) != list(read_texts(other["test"]))
    for path in (tmp_path / "a" / "audio").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / "audio" / path.name).read_bytes()


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def failing_teacher(text: str, seed: int) -> np.ndarray:
        if len(list((tmp_path / "audio").iterdir())) == 20:
            raise KeyboardInterrupt
        return toy_teacher(text, seed)

    with pytest.raises(KeyboardInterrupt):
        digits.prepare_digits(tmp_path, **SMALL, teacher=failing_teacher)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "audio").iterdir()}
    assert len(before) == 20 and not list(tmp_path.glob("cuts_*"))

    prepare(tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "audio").iterdir()}
    assert len(after) == 40 + 6 + 8 + 16
    assert before.items() <= after.items()


def test_a_complete_corpus_is_not_made_again(tmp_path: Path) -> None:
    manifests = prepare(tmp_path)

    def no_teacher(text: str, seed: int) -> np.ndarray:
        raise AssertionError("there is nothing to read")

    assert digits.prepare_digits(tmp_path, **SMALL, teacher=no_teacher) == manifests


def test_corpora_of_different_settings_do_not_mix(tmp_path: Path) -> None:
    prepare(tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        prepare(tmp_path, seed=1)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": -1}, {"joined": -1}])
def test_impossible_sizes_are_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, int]
) -> None:
    with pytest.raises(ValueError):
        digits.prepare_digits(tmp_path / "corpus", **{**SMALL, **wrong}, teacher=toy_teacher)
    assert not (tmp_path / "corpus").exists()


def test_the_real_teacher_reads_a_list() -> None:
    teacher = digits.load_teacher()
    first, again = teacher("four two seven", 3), teacher("four two seven", 3)
    assert np.array_equal(first, again)
    assert 1.2 < len(first) / teachers.SAMPLE_RATE < 2.5
