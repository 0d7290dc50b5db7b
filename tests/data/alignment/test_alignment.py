"""The aligner finds the times of words and letters with only the corpus as training data."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from safetensors.torch import save_file

from sled.data.alignment import align, network
from sled.data.alignment.align import find_paths, letter_times
from sled.data.alignment.features import FRAME_S, NUM_FEATURES, SAMPLE_RATE, Features
from sled.data.alignment.network import CtcNetwork
from sled.data.alignment.spelling import WORD_END, Alphabet, letters
from sled.data.alignment.spoken_times import letter_ends, word_ends
from sled.data.alignment.trained import TrainedAligner
from sled.data.alignment.training import train_network
from sled.data.alignment.viterbi import CtcPath
from sled.data.cache.codes import load_cached
from sled.data.manifests import load_cuts, save_cuts
from tests.commands import run
from tests.debug import GOLDENS, debug_waveform, randn

TONES_HZ = {"a": 300, "b": 600, "c": 1200, "d": 2400}
LETTER_S, PAUSE_S = 0.08, 0.12
NUM_CUTS = 32
START_S = 0.25  # of every second cut in its recording
FLAGS = ("--num_workers", 0, "--device", "cpu", "--max_steps")
MAX_STEPS, WIDTH = 60, 64
# Enough where only runs are compared, which are equal to the last bit or are not.
FEW_STEPS = 4
Ends = list[list[float]]  # in s, of the letters of each word


def say(text: str, seed: int) -> tuple[np.ndarray, Ends]:
    """A tone for each letter and a pause after each word; also the end of each letter's tone.

    Durations vary slightly.
    """
    rng = np.random.default_rng(seed)
    parts, ends, now = [], [], 0.0
    for word in text.split():
        ends.append([])
        for letter in word.lower():
            seconds = LETTER_S * rng.uniform(0.8, 1.2)
            time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
            parts.append(0.2 * np.sin(2 * np.pi * TONES_HZ[letter] * time) * np.hanning(len(time)))
            now += len(time) / SAMPLE_RATE
            ends[-1].append(now)
        parts.append(np.zeros(round(PAUSE_S * rng.uniform(0.8, 1.2) * SAMPLE_RATE)))
        now += len(parts[-1]) / SAMPLE_RATE
    audio = np.concatenate(parts)
    return audio + 1e-3 * rng.normal(size=len(audio)), ends


def make_cut(folder: Path, name: str, text: str | None, audio: np.ndarray, start: float) -> MonoCut:
    """A cut that starts `start` s into its recording, whose path is relative to the folder."""
    before = 0.1 * debug_waveform(start, sample_rate=SAMPLE_RATE)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "audio" / f"{name}.wav", np.append(before, audio), SAMPLE_RATE)
    recording = Recording.from_file(folder / "audio" / f"{name}.wav")
    recording.sources[0].source = f"audio/{name}.wav"
    seconds = len(audio) / SAMPLE_RATE
    supervision = SupervisionSegment(name, recording.id, 0, seconds, text=text)
    return MonoCut(name, start, seconds, 0, [supervision], recording=recording)


@pytest.fixture(scope="module", autouse=True)
def _narrow() -> Iterator[None]:
    """A network that is wide enough for four tones."""
    with patch.object(network, "_WIDTH", WIDTH):
        yield


@pytest.fixture(scope="module")
def truth() -> dict[str, Ends]:
    """The true end of each letter of each cut, filled in by `corpus`."""
    return {}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, truth: dict[str, Ends]) -> Path:
    """Words of two or three letters, sometimes in capitals, and two cuts that cannot be aligned."""
    folder = tmp_path_factory.mktemp("corpus")
    rng, cuts = np.random.default_rng(0), []
    for index in range(NUM_CUTS):
        words = ["".join(rng.choice(list("abcdBC"), rng.integers(2, 4))) for _ in range(2)]
        audio, truth[str(index)] = say(" ".join(words), seed=index)
        start = START_S * (index % 2)
        cuts.append(make_cut(folder, str(index), ", ".join(words) + ".", audio, start))
    # The wrong cut cannot be learnt by heart: five others sound the same.
    audio, ends = say("ab dc", seed=0)
    for name in ("one", "two", "three", "four", "five"):
        truth[name] = ends
        cuts.append(make_cut(folder, name, "ab dc", audio, 0.0))
    cuts.append(make_cut(folder, "wrong", "cd ba", audio, 0.0))
    cuts.append(make_cut(folder, "too-short", "abcd " * 20, audio, 0.0))
    save_cuts(CutSet.from_cuts(cuts), folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


@dataclass
class Aligned:
    """Two manifests that were aligned together, what was printed, and the network they trained."""

    manifest: Path
    strange: Path
    printed: list[str]
    network: CtcNetwork


@pytest.fixture(scope="module")
def strange(corpus: Path) -> Path:
    """A manifest with a letter that the corpus does not have."""
    audio, _ = say("ab cd", seed=0)
    path = corpus.with_name("strange.jsonl.gz")
    save_cuts(CutSet.from_cuts([make_cut(path.parent, "strange", "ab çd", audio, 0.0)]), path)
    return path


def saved_network(corpus: Path) -> Path:
    return corpus.with_name("aligner.safetensors")


@pytest.fixture(scope="module")
def together(corpus: Path, strange: Path) -> Aligned:
    """Both, after as many steps as it takes to learn four tones."""
    outputs = [corpus.with_name(f"{name}.jsonl.gz") for name in ("aligned", "aligned_strange")]
    networks = []

    def train(*args: Any) -> CtcNetwork:
        networks.append(train_network(*args))
        return networks[0]

    with redirect_stdout(StringIO()) as out, patch.object(align, "train_network", train):
        flags = ("--output", *outputs, "--network", saved_network(corpus), *FLAGS, MAX_STEPS)
        assert run("align", "--manifest", corpus, strange, *flags) == 0
    return Aligned(*outputs, out.getvalue().splitlines(), networks[0])


@pytest.fixture(scope="module")
def aligned(together: Aligned) -> Path:
    """The corpus with times of words and letters."""
    return together.manifest


@pytest.fixture(scope="module")
def roughly(corpus: Path) -> Path:
    """The corpus with the times that a network finds that was hardly trained."""
    output = corpus.with_name("roughly.jsonl.gz")
    assert run("align", "--manifest", corpus, "--output", output, *FLAGS, FEW_STEPS) == 0
    return output


def lines(manifest: Path) -> list[dict]:
    with gzip.open(manifest, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# What is found.


def test_words_end_where_their_sound_ends(aligned: Path, truth: dict[str, Ends]) -> None:
    """In the pause after them, or within 60 ms of it, wherever the cut starts in its recording."""
    for cut in load_cuts(aligned):
        if cut.id in truth:
            late = np.array(word_ends(cut)) - [word[-1] for word in truth[cut.id]]
            assert late.min() > -0.06
            assert late.max() < PAUSE_S + 0.06


def test_letters_end_where_their_sound_ends(aligned: Path, truth: dict[str, Ends]) -> None:
    """Within half a letter; the last letter ends with its word."""
    for cut in load_cuts(aligned):
        if cut.id in truth:
            ends, lasts = np.array(letter_ends(cut)), np.cumsum(list(map(len, truth[cut.id]))) - 1
            assert np.all(np.diff(ends, prepend=0) > 0)
            assert ends[lasts].tolist() == word_ends(cut)
            late = np.delete(ends - np.concatenate(truth[cut.id]), lasts)
            assert np.abs(late).max() < LETTER_S / 2


def test_each_word_is_a_lhotse_item_and_they_leave_no_gap(
    aligned: Path, truth: dict[str, Ends]
) -> None:
    """Lhotse counts times from the start of the recording."""
    for cut in CutSet.from_file(aligned):
        if cut.id in truth:
            items = cut.supervisions[0].alignment["word"]
            assert [item.symbol for item in items] == cut.supervisions[0].text.split()
            assert items[0].start == cut.start
            assert [item.start for item in items[1:]] == [item.end for item in items[:-1]]
            assert items[-1].end <= cut.start + cut.duration
            assert all(item.duration > 0 and item.score <= 0 for item in items)
            parts = list(cut.trim_to_alignments("word"))
            assert [(part.start, part.end) for part in parts] == [
                pytest.approx((item.start, item.end), abs=1e-3) for item in items
            ]


def test_so_is_each_letter_that_is_heard(aligned: Path, truth: dict[str, Ends]) -> None:
    for cut in CutSet.from_file(aligned):
        if cut.id in truth:
            items = cut.supervisions[0].alignment["letter"]
            assert [item.symbol for item in items] == letters(cut.supervisions[0].text)
            assert items[0].start == cut.start
            assert [item.start for item in items[1:]] == [item.end for item in items[:-1]]


def test_cuts_that_do_not_hold_their_text_get_no_times_and_are_counted(
    together: Aligned, truth: dict[str, Ends]
) -> None:
    cuts = {cut.id: cut for cut in load_cuts(together.manifest)}
    for name in ("too-short", "wrong"):
        assert word_ends(cuts[name]) is None
        assert letter_ends(cuts[name]) is None
    first, *others = together.printed
    assert first.startswith(f"aligned: {len(truth)} of {len(truth) + 2} cuts")
    assert "1 cuts too short for their text: too-short" in others
    assert "1 cuts that do not sound like their text: wrong" in others


@pytest.fixture
def damaged(corpus: Path) -> Path:
    """The corpus with cuts of which nothing can be read: in it, and at its beginning."""
    cuts = list(load_cuts(corpus))
    audio, _ = say("ab", seed=0)
    bad = [
        make_cut(corpus.parent, name, text, audio, 0.0)
        for name, text in (("mute", None), ("deaf", "ab"), ("void", " "))
    ]
    (corpus.parent / "audio" / "deaf.wav").unlink()
    for place, cut in zip((0, 7, len(cuts)), bad, strict=True):
        cuts.insert(place, cut)
    path = corpus.with_name("damaged.jsonl.gz")
    save_cuts(CutSet.from_cuts(cut.with_recording_path_prefix("") for cut in cuts), path)
    return path


def test_cuts_that_cannot_be_read_are_kept_without_times_and_listed(
    corpus: Path, damaged: Path, together: Aligned, capsys: pytest.CaptureFixture
) -> None:
    """The others have the times that they have without them."""
    output = corpus.with_name("aligned_damaged.jsonl.gz")
    flags = ("--output", output, "--trained", saved_network(corpus), *FLAGS, FEW_STEPS)
    assert run("align", "--manifest", damaged, *flags) == 0
    ends = {cut.id: (word_ends(cut), letter_ends(cut)) for cut in load_cuts(output)}
    assert list(ends) == [cut.id for cut in load_cuts(damaged)]
    for name in ("mute", "deaf", "void"):
        assert ends.pop(name) == (None, None)
    assert ends == {
        cut.id: (word_ends(cut), letter_ends(cut)) for cut in load_cuts(together.manifest)
    }
    printed = capsys.readouterr().out
    assert "3 cuts without text or usable audio: mute, void, deaf" in printed
    assert "cut mute has no text" in printed and "cut deaf: cannot read its audio" in printed


def test_it_stops_at_such_a_cut_if_asked_to(damaged: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ("--on_bad", "stop", *FLAGS, FEW_STEPS)
    output = damaged.with_name("stopped.jsonl.gz")
    assert run("align", "--manifest", damaged, "--output", output, *flags) == 2
    assert "cut mute has no text: repair it, or" in capsys.readouterr().err
    assert not output.exists()


# What is written.


def test_nothing_else_changes(corpus: Path, aligned: Path) -> None:
    """Cuts, their order and the relative paths of their audio stay the same."""
    without = lines(aligned)
    for cut in without:
        cut["supervisions"][0].pop("alignment", None)
    assert without == lines(corpus)


def test_the_same_seed_gives_the_same_times_and_audio_is_found_from_anywhere(
    roughly: Path, aligned: Path, tmp_path: Path
) -> None:
    """Existing times are replaced."""
    output = tmp_path / "elsewhere.jsonl.gz"
    assert run("align", "--manifest", aligned, "--output", output, *FLAGS, FEW_STEPS) == 0
    for cut, other in zip(load_cuts(roughly), load_cuts(output), strict=True):
        assert cut.supervisions == other.supervisions
        assert np.array_equal(cut.load_audio(), other.load_audio())


def test_other_manifests_are_aligned_by_the_network_of_the_first(
    corpus: Path, roughly: Path
) -> None:
    """If that has enough speech. A cut has the same times in each manifest."""
    hours = sum(cut.duration for cut in load_cuts(corpus)) / 3600
    known = {cut.id: cut for cut in load_cuts(roughly)}
    others = corpus.with_name("others.jsonl.gz")
    save_cuts(CutSet.from_cuts(load_cuts(corpus)).subset(cut_ids=["7", "wrong", "2"]), others)
    outputs = [corpus.with_name(f"together_{index}.jsonl.gz") for index in range(2)]
    flags = ("--train_hours", hours, *FLAGS, FEW_STEPS)
    assert run("align", "--manifest", corpus, others, "--output", *outputs, *flags) == 0
    assert lines(outputs[0]) == lines(roughly)
    assert [cut.id for cut in load_cuts(outputs[1])] == [cut.id for cut in load_cuts(others)]
    for cut in load_cuts(outputs[1]):
        for ends in (word_ends, letter_ends):
            assert ends(cut) == ends(known[cut.id])


def test_a_little_speech_is_trained_on_whatever_manifest_it_is_in(
    corpus: Path, roughly: Path
) -> None:
    """Two halves are aligned as the whole: no half is learned by heart."""
    cuts = CutSet.from_cuts(load_cuts(corpus))
    halves = [corpus.with_name(f"half_{index}.jsonl.gz") for index in range(2)]
    for half, part in zip(halves, cuts.split(2), strict=True):
        save_cuts(part, half)
    outputs = [corpus.with_name(f"aligned_half_{index}.jsonl.gz") for index in range(2)]
    assert run("align", "--manifest", *halves, "--output", *outputs, *FLAGS, FEW_STEPS) == 0
    assert lines(outputs[0]) + lines(outputs[1]) == lines(roughly)


def test_a_manifest_of_which_nothing_can_be_aligned_ends_the_run(
    corpus: Path,
    strange: Path,
    together: Aligned,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    wrong = corpus.with_name("wrong.jsonl.gz")
    save_cuts(CutSet.from_cuts(load_cuts(corpus)).subset(cut_ids=["wrong"]), wrong)
    outputs = [tmp_path / f"{index}.jsonl.gz" for index in range(3)]
    flags = ("--output", *outputs, *FLAGS, FEW_STEPS)
    with patch.object(align, "train_network", lambda *_: together.network):
        assert run("align", "--manifest", corpus, strange, wrong, *flags) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{wrong}: none of its 1 cuts can be aligned" in error
    assert [output.is_file() for output in outputs] == [True, True, False]
    outputs[2].write_bytes(b"of an earlier run")
    with patch.object(align, "train_network", lambda *_: together.network):
        assert run("align", "--manifest", corpus, strange, wrong, *flags) == 2
    assert outputs[2].read_bytes() == b"of an earlier run"


def test_a_manifest_is_not_overwritten(corpus: Path, capsys: pytest.CaptureFixture) -> None:
    before = corpus.read_bytes()
    assert run("align", "--manifest", corpus, "--output", corpus, *FLAGS, FEW_STEPS) == 2
    assert "is also read" in capsys.readouterr().err
    assert corpus.read_bytes() == before


def test_letters_that_the_first_manifest_does_not_have_are_no_obstacle(together: Aligned) -> None:
    (cut,) = load_cuts(together.strange)
    assert cut.supervisions[0].text == "ab çd"
    assert len(word_ends(cut) or ()) == 2


def test_times_live_on_in_cached_codes(
    aligned: Path, truth: dict[str, Ends], tmp_path: Path
) -> None:
    """There each cut is a recording of its own."""
    flags = ("--codec", GOLDENS / "codec", "--output", tmp_path, "--num_workers", 0)
    assert run("cache codes", "--manifest", aligned, *flags, "--shard_size", 50) == 0
    originals = {cut.id: cut for cut in load_cuts(aligned)}
    for cut in load_cached(tmp_path):
        for ends in (word_ends, letter_ends):
            before = ends(originals[cut.id])
            assert (before is None) == (cut.id not in truth)
            assert ends(cut) == (None if before is None else pytest.approx(before, abs=1e-4))


# The network as a judge.


def test_the_saved_network_finds_other_texts_less_likely(together: Aligned, corpus: Path) -> None:
    aligner = TrainedAligner.load(saved_network(corpus))
    assert str(aligner.network.state_dict()) == str(together.network.state_dict())
    speech = [torch.from_numpy(say("abd cb", seed)[0]).float() for seed in (0, 1)]
    right, *others = (
        aligner.losses(speech, [text, text])
        for text in ("Abd, cb.", "abd db", "abd", "abd cbc", "bd cb", "cb abd")
    )
    assert max(right) < 0.2
    for other in others:
        assert min(other) > max(right) + 0.3


def test_the_loss_of_a_clip_is_the_same_in_a_batch(together: Aligned, corpus: Path) -> None:
    aligner = TrainedAligner.load(saved_network(corpus))
    texts = ["ab cd", "bb"]
    speech = [torch.from_numpy(say(text, 3)[0]).float() for text in texts]
    alone = [aligner.losses([one], [text])[0] for one, text in zip(speech, texts, strict=True)]
    assert aligner.losses(speech, texts) == pytest.approx(alone, abs=1e-4)
    assert aligner.losses(speech[:1], ["abcd" * 40]) == [float("inf")]
    with pytest.raises(ValueError, match="without a letter of 'ab x'"):
        aligner.losses(speech[:1], ["ab x"])


def test_a_trained_network_aligns_as_in_the_run_that_trained_it(
    together: Aligned, corpus: Path, strange: Path, tmp_path: Path
) -> None:
    outputs = [corpus.with_name(f"again_{index}.jsonl.gz") for index in range(2)]
    flags = ("--trained", saved_network(corpus), "--network", tmp_path / "copy.safetensors")
    with patch.object(align, "train_network", None):
        command = ("--manifest", corpus, strange, "--output", *outputs, *FLAGS, FEW_STEPS)
        assert run("align", *command, *flags) == 0
    assert [lines(output) for output in outputs] == [
        lines(path) for path in (together.manifest, together.strange)
    ]
    assert (tmp_path / "copy.safetensors").read_bytes() == saved_network(corpus).read_bytes()


def test_a_network_for_other_texts_is_refused(
    together: Aligned, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    audio, _ = say("ab", seed=0)
    other = tmp_path / "other.jsonl.gz"
    save_cuts(CutSet.from_cuts([make_cut(tmp_path, "other", "ab xy", audio, 0.0)]), other)
    flags = ("--output", tmp_path / "out.jsonl.gz", "--trained", saved_network(corpus), *FLAGS, 1)
    assert run("align", "--manifest", other, *flags) == 2
    assert "texts without x y: train one" in capsys.readouterr().err
    assert run("align", "--manifest", corpus, *flags, "--text_normalization", "english") == 2
    assert "--text_normalization None, not english" in capsys.readouterr().err


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    for wrong in (path, tmp_path / "none", tmp_path):
        with pytest.raises(ValueError, match="is not the network of an aligner"):
            TrainedAligner.load(wrong)


# Input that is wrong.


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--manifest none.jsonl", "none.jsonl"),
        ("--manifest no_text.jsonl.gz", "cut mute has no text"),
        ("--manifest no_audio.jsonl.gz", "cannot read its audio"),
        ("--manifest mismatch.jsonl.gz", "no cut is long enough for its text"),
        ("--manifest good.jsonl.gz --output none/aligned.jsonl.gz", "no folder none"),
        ("--manifest good.jsonl.gz --output out/aligned.json", "name a .jsonl"),
        ("--manifest good.jsonl.gz good.jsonl.gz", "2 manifests, but outputs out/aligned.jsonl:"),
        ("--manifest good.jsonl.gz --output out/a.jsonl out/b.jsonl", "out/a.jsonl, out/b.jsonl"),
        ("--manifest good.jsonl.gz good.jsonl.gz --output out/a.jsonl out/a.jsonl", "one for each"),
        ("--manifest good.jsonl.gz --text_normalization martian", "martian"),
        ("--manifest good.jsonl.gz --max_steps 0", "max_steps=0"),
        ("--manifest good.jsonl.gz --train_hours 0", "train_hours=0"),
        ("--manifest good.jsonl.gz --train_hours 1e-9", "give more"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    flags: str,
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    audio, _ = say("ab", seed=0)
    for name, text in {"good": "ab", "mute": None, "deaf": "ab", "long": "abcd " * 20}.items():
        cut = make_cut(tmp_path, name, text, audio, 0.0)
        manifest = {"mute": "no_text", "deaf": "no_audio", "long": "mismatch"}.get(name, name)
        save_cuts(CutSet.from_cuts([cut]), tmp_path / f"{manifest}.jsonl.gz")
    (tmp_path / "audio" / "deaf.wav").unlink()
    (tmp_path / "out").mkdir()
    base = ("--output", "out/aligned.jsonl", "--num_workers", 0, "--max_steps", 1)
    assert run("align", *base, *flags.split()) == 2
    message = capsys.readouterr().err
    assert re.fullmatch(r"error: .*\n", message)
    assert word in message
    assert list((tmp_path / "out").iterdir()) == []


# The parts.


def test_letters_are_those_of_any_script_without_case_or_marks_of_punctuation() -> None:
    alphabet = Alphabet.of(["Don't", "STOP!", "Ёж", "—"], fold_case=True)
    assert alphabet.letters == tuple(sorted(set("dontspёж")))
    assert alphabet.encode(["don't", "—"]) == alphabet.encode(["DONT", ""])


@pytest.mark.parametrize("fold_case", [True, False])
def test_every_letter_is_one_symbol(fold_case: bool) -> None:
    words = ["Straße", "İzmir", "ŉ"]  # some of these are several characters when they are folded
    symbols = Alphabet.of(words, fold_case=fold_case).encode(words)
    assert len(symbols) == sum(map(len, words)) + len(words)


def test_phones_that_differ_in_case_differ_and_stress_is_not_heard() -> None:
    """As "eight" and "attack" may be written; ᵊ is a sound although it is a modifier letter."""
    words = ["ˈAt", "ətˈækᵊ"]
    alphabet = Alphabet.of([*words, "a"], fold_case=False)
    assert alphabet.letters == tuple(sorted("Atəækᵊa"))
    assert [letters(word) for word in words] == [list("At"), list("ətækᵊ")]


def test_a_letter_lasts_halfway_to_the_next_or_to_the_end_of_its_word() -> None:
    """Letters 2 and 3, the end of a word, the end of a word without letters, and letter 2."""
    symbols = [2, 3, WORD_END, WORD_END, 2, WORD_END]
    states = np.array([0, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12])
    ends = np.array([9.0, 11.0, 13.0]) * FRAME_S
    found = letter_times(CtcPath(states, np.zeros(len(states))), symbols, ends)
    np.testing.assert_allclose(found / FRAME_S, [4.5, 9, 13])


@pytest.mark.parametrize("num_samples", [1, 100, 599, 600, 601, 24_000])
def test_a_frame_is_a_fortieth_of_a_second(num_samples: int) -> None:
    features = Features("cpu")(torch.zeros(num_samples))
    assert features.shape[1] == NUM_FEATURES
    assert abs(len(features) - num_samples / SAMPLE_RATE / FRAME_S) <= 1
    assert len(features) >= 1


def test_a_clip_is_aligned_as_if_alone() -> None:
    torch.manual_seed(0)
    untrained = CtcNetwork(5, torch.zeros(NUM_FEATURES), torch.ones(NUM_FEATURES)).eval()
    clips = [randn(length, NUM_FEATURES, seed=length) for length in (30, 9, 21)]
    texts = [[2, 3, 1, 4, 1], [2, 2, 1], [3, 1]]
    together = find_paths(untrained, clips, texts)
    for clip, text, path in zip(clips, texts, together, strict=True):
        (alone,) = find_paths(untrained, [clip], [text])
        assert path is not None and alone is not None
        assert np.array_equal(path.states, alone.states)
        np.testing.assert_allclose(path.scores, alone.scores, atol=1e-4)
