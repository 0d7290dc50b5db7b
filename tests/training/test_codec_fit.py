"""Fitting transforms to a corpus: as the single transforms define it, and bad input."""

import json
from pathlib import Path

import pytest
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from sled.codec import Codec, CodecParts, Emphasize, Group, TokenChannel, Whiten, load_codec
from sled.codec.transforms.group import group_codes
from sled.data.alignment.sounds import SoundsOfFrames
from sled.data.alignment.spoken_times import is_letter, with_letters
from sled.data.cache.codes import cache_codes, cut_codes, load_cached
from sled.data.manifests import load_cuts
from sled.training.codec.fit import fit_transforms, parse_transforms
from tests.debug import GOLDENS, debug_codec, debug_tokenizer
from tests.training.runs import make_corpus

SPEC = "whiten:floor=0.3,group:2,emphasize:4,token-channel:6:norm=3:seed=1"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The codes of aligned recordings, those of recordings without times, and a tokenizer."""
    folder = make_corpus(tmp_path_factory.mktemp("fit"))
    aligned = CutSet.from_cuts(map(spelled, load_cuts(folder / "cuts.jsonl.gz")))
    cache_codes(aligned.to_eager(), debug_codec(), folder / "codes")
    cache_codes(load_cuts(folder / "cuts.jsonl.gz"), debug_codec(), folder / "untimed")
    debug_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def spelled(cut: Cut) -> Cut:
    """A cut with times of its letters, each as long as the others."""
    letters = list(filter(is_letter, cut.supervisions[0].text))
    ends = [cut.duration * (number + 1) / len(letters) for number in range(len(letters))]
    return with_letters(cut, letters, ends)


def tensors(codec: Path) -> list[dict[str, Tensor]]:
    return [transform.tensors() for transform in CodecParts.load(codec).transforms]


def assert_same(got: list[dict[str, Tensor]], wanted: list[dict[str, Tensor]]) -> None:
    assert [one.keys() for one in got] == [one.keys() for one in wanted]
    for ours, theirs in zip(got, wanted, strict=True):
        for name, tensor in ours.items():
            assert tensor.equal(theirs[name]), name


def test_all_at_once_is_one_by_one(corpus: Path, tmp_path: Path) -> None:
    """And is what the transforms themselves make of the corpus, to the bit."""
    given = {"codes": [corpus / "codes"], "tokenizer": corpus / "tokenizer"}
    report = fit_transforms(GOLDENS / "codec", SPEC, tmp_path / "at once", **given)
    assert [note.split(":")[0] for note in report.notes] == [
        "whiten",
        "group",
        "emphasize",
        "token-channel",
    ]
    assert "37.5 latents of 70 a second" in str(report)

    codec = GOLDENS / "codec"
    for number, entry in enumerate(SPEC.split(",")):
        fit_transforms(codec, entry, tmp_path / str(number), **given)
        codec = tmp_path / str(number)
    assert_same(tensors(tmp_path / "at once"), tensors(codec))

    cuts = list(load_cached(corpus / "codes", shuffle_seed=0))
    base = debug_codec()
    whiten = Whiten.of([base.codes_to_units(cut_codes(cut)) for cut in cuts], 0.3)
    parts = CodecParts.load(GOLDENS / "codec").with_transforms(whiten, Group(2))
    grouped = parts.assemble()
    pairs = map(SoundsOfFrames(grouped), cuts)
    emphasize, _ = Emphasize.of([(latents(grouped, c), sounds) for c, sounds in pairs], 4.0)
    channel = TokenChannel.random(debug_tokenizer().vocab_size, 6, 3.0, seed=1)
    parts.with_transforms(emphasize, channel).save(tmp_path / "by hand")
    assert_same(tensors(tmp_path / "at once"), tensors(tmp_path / "by hand"))


def latents(codec: Codec, codes: Tensor) -> Tensor:
    return codec.codes_to_units(group_codes(codes, codec.frames_per_unit))


def test_older_folders_are_read(corpus: Path, tmp_path: Path) -> None:
    """Keys of config.json say which transforms there are, as in the bundled voices."""
    given = {"codes": [corpus / "codes"], "tokenizer": corpus / "tokenizer"}
    fit_transforms(GOLDENS / "codec", SPEC, tmp_path / "codec", **given)
    codec = load_codec(tmp_path / "codec")
    old = tmp_path / "codec"
    (old / "transforms.json").unlink()
    for new, name in (
        ("whiten", "whitening"),
        ("emphasize", "emphasis"),
        ("token-channel", "token_channel"),
    ):
        (old / f"{new}.safetensors").rename(old / f"{name}.safetensors")
    config = json.loads((old / "config.json").read_text())
    config |= {"whitened_latents": True, "emphasized_sounds": True, "token_channel": True}
    (old / "config.json").write_text(json.dumps(config | {"frames_per_latent": 2}))
    codes = torch.randint(1024, (16, 5), generator=torch.Generator().manual_seed(0))
    assert load_codec(old).codes_to_units(codes).equal(codec.codes_to_units(codes))
    CodecParts.load(old).save(tmp_path / "new")
    assert load_codec(tmp_path / "new").codes_to_units(codes).equal(codec.codes_to_units(codes))


def test_fewer_cuts_are_used_if_asked(corpus: Path, tmp_path: Path) -> None:
    for name, spec in (("few", "whiten:cuts=2"), ("all", "whiten")):
        fit_transforms(GOLDENS / "codec", spec, tmp_path / name, codes=[corpus / "codes"])
    assert not tensors(tmp_path / "few")[0]["mean"].equal(tensors(tmp_path / "all")[0]["mean"])


def test_the_first_setting_needs_no_name() -> None:
    (spec,) = parse_transforms("emphasize:8:cuts=20")
    assert (spec.transform, spec.settings) == (Emphasize, {"strength": 8.0, "cuts": 20})


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("whitening", "no transform 'whitening': choose from whiten, group"),
        ("", "no transform ''"),
        ("group:2:3", "'3' is not a setting of group"),
        ("group:size=2", "'size=2' is not a setting of group; its settings are frames=..."),
        ("group:2:frames=3", "'frames=3' is not a setting"),
        ("group:2.5", "frames must be a whole number, got '2.5'"),
        ("group:1", "group at least 2 frames"),
        ("whiten:wide", "floor must be a number"),
        ("whiten:0", "a floor of 0"),
        ("group,group", "group is there already"),
        ("token-channel,group", "add the token channel last"),
        ("emphasize,whiten", "whiten first"),
    ],
)
def test_lists_that_make_no_sense(spec: str, problem: str, corpus: Path, tmp_path: Path) -> None:
    given = {"codes": [corpus / "codes"], "tokenizer": corpus / "tokenizer"}
    with pytest.raises(ValueError) as refusal:
        fit_transforms(GOLDENS / "codec", spec, tmp_path / "codec", **given)
    assert problem in str(refusal.value)
    assert not (tmp_path / "codec").exists()


@pytest.mark.parametrize(
    ("spec", "given", "problem"),
    [
        ("whiten", {}, "name its cached codes with --codes"),
        ("emphasize", {}, "name its cached codes with --codes"),
        ("emphasize", {"codes": "untimed"}, "aligned with `sled align`"),
        ("token-channel", {"codes": "codes"}, "name their tokenizer with --tokenizer"),
    ],
)
def test_what_a_transform_lacks_is_named(
    spec: str, given: dict[str, str], problem: str, corpus: Path, tmp_path: Path
) -> None:
    codes = [corpus / given["codes"]] if given else []
    with pytest.raises(ValueError, match=problem):
        fit_transforms(GOLDENS / "codec", spec, tmp_path / "codec", codes=codes)
    assert not (tmp_path / "codec").exists()
