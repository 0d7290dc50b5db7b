"""The tokenizer and the codec of a run: named, found, or made for it."""

import json
import shutil
from pathlib import Path

import pytest

from sled.bundled import BUNDLED_MODELS
from sled.codec import CodecParts, Group, TokenChannel, Whiten
from sled.data.cache.codes import cache_codes
from sled.data.manifests import load_cuts
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import DataArguments
from sled.training.parts import codec_name, load_tokenizer
from tests.commands import run
from tests.debug import GOLDENS, debug_checkpoint, debug_codec, debug_tokenizer
from tests.training.runs import align_evenly, fit, make_corpus
from tests.training.test_token_channel import codec_with_channel

DIGITS = BUNDLED_MODELS["digits"].folder


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with `timed` codes, `cached` codes without times, and a codec with a channel."""
    folder = make_corpus(tmp_path_factory.mktemp("aligned"))
    align_evenly(folder / "cuts.jsonl.gz", folder / "aligned.jsonl.gz")
    codec_with_channel(folder / "codec")
    cuts = load_cuts(folder / "aligned.jsonl.gz")
    cache_codes(cuts, debug_codec(), folder / "timed", codec_name=folder / "codec")
    return folder


def kinds(codec: Path) -> list[str]:
    return [transform.kind for transform in CodecParts.load(codec).transforms]


@pytest.mark.parametrize("name", ["digits", str(DIGITS)])
def test_a_tokenizer_is_named_by_its_model(name: str) -> None:
    tokenizer = load_tokenizer(DataArguments(tokenizer=name), None)
    assert tokenizer.vocab_size == TextTokenizer.from_pretrained(DIGITS).vocab_size


def test_an_unset_tokenizer_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = debug_checkpoint(tmp_path / "model")
    tokenizer = load_tokenizer(DataArguments(), checkpoint)
    assert tokenizer.vocab_size == debug_tokenizer().vocab_size
    with pytest.raises(ValueError, match="--tokenizer is missing"):
        load_tokenizer(DataArguments(), None)


def test_a_codec_is_named_by_its_model() -> None:
    assert kinds(Path("digits")) == kinds(DIGITS / "codec") == kinds(DIGITS) != []


def test_which_codec_is_used(aligned: Path, tmp_path: Path) -> None:
    """The one named, that of the checkpoint, that of the codes, or the published one."""
    checkpoint = debug_checkpoint(tmp_path / "model")
    data = DataArguments(train_manifest=[str(aligned / "timed")])
    own = str(checkpoint / "codec")
    assert codec_name(DataArguments(codec="named", train_manifest=[own]), checkpoint) == "named"
    assert codec_name(data, checkpoint) == own
    assert codec_name(data, None) == str((aligned / "codec").resolve())
    unrecorded = DataArguments(train_manifest=[str(aligned / "cached")])
    assert codec_name(unrecorded, None) == "facebook/encodec_24khz"


def test_a_codec_that_is_gone_is_named(aligned: Path, tmp_path: Path) -> None:
    shutil.copytree(aligned / "codec", tmp_path / "codec")
    codec = ("--codec", tmp_path / "codec", "--device", "cpu")
    manifest = ("--manifest", aligned / "cuts.jsonl.gz", "--output", tmp_path / "codes")
    assert run("cache codes", *codec, *manifest) == 0
    (tmp_path / "codec").rename(tmp_path / "elsewhere")
    data = DataArguments(train_manifest=[str(tmp_path / "codes")])
    with pytest.raises(ValueError, match=f"{tmp_path}/codec, which is not there: .* --codec"):
        codec_name(data, None)


def test_another_codec_than_that_of_the_codes_is_refused_with_its_name(
    aligned: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"was made with \({aligned}/codec\)"):
        fit(aligned, tmp_path, train_manifest=aligned / "timed", codec="digits")


def test_the_codec_of_the_codes_serves_another_tokenizer(aligned: Path, tmp_path: Path) -> None:
    """Its token channel is replaced, and speaking finds the codec of the run in its folder."""
    TextTokenizer.train(["four two seven one"] * 2, 262).save_pretrained(tmp_path / "tokenizer")
    changes = {"train_manifest": aligned / "timed", "tokenizer": tmp_path / "tokenizer"}
    output = fit(aligned, tmp_path / "run", **changes, codec=aligned / "codec")
    [channel] = CodecParts.load(output / "codec").transforms
    [old] = CodecParts.load(aligned / "codec").transforms
    assert isinstance(channel, TokenChannel) and isinstance(old, TokenChannel)
    assert (channel.vocab_size, old.vocab_size) == (262, debug_tokenizer().vocab_size)
    assert channel.width(0) == old.width(0)
    assert channel.tokens[0].norm().item() == pytest.approx(old.tokens[0].norm().item(), rel=1e-5)
    output = ("--output", tmp_path / "out.wav", "--min_frames", 4, "--max_length", 40)
    assert run("speak", "--model", tmp_path / "run", "one", *output) == 0


def test_without_times_of_words_the_token_channel_is_left_out(
    aligned: Path, tmp_path: Path
) -> None:
    output = fit(aligned, tmp_path, codec=aligned / "codec")
    assert kinds(output / "codec") == []


def test_transforms_are_a_choice_of_the_run(
    aligned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take the place of the codec's own, and are not fitted again in a continued run."""
    settings = {"train_manifest": aligned / "timed", "codec": aligned / "codec"}
    plain = fit(aligned, tmp_path / "plain", **settings, transforms="none")
    assert kinds(plain / "codec") == []
    spec = "whiten,group:2,token-channel:6"
    grouped = fit(aligned, tmp_path / "grouped", **settings, transforms=spec)
    whiten, group, channel = CodecParts.load(grouped / "codec").transforms
    assert isinstance(whiten, Whiten) and isinstance(group, Group) and group.frames == 2
    assert isinstance(channel, TokenChannel)
    config = json.loads((grouped / "config.json").read_text())
    assert (config["frame_rate"], config["vae_embed_dim"]) == (37.5, 70)

    monkeypatch.setattr("sled.training.parts.fit_parts", None)
    fit(aligned, grouped, **settings, transforms=spec, max_steps=4)


def test_no_codec_is_written_for_a_run_that_is_refused(aligned: Path, tmp_path: Path) -> None:
    for changes in ({"train_manifest": tmp_path / "none"}, {"alignment_layer": 99}):
        with pytest.raises(ValueError, match="no cut manifest|layer"):
            fit(aligned, tmp_path / "run", **{"codec": aligned / "codec", **changes})
    assert not (tmp_path / "run" / "codec").exists()


def test_a_checkpoint_keeps_its_transforms(aligned: Path, tmp_path: Path) -> None:
    old = fit(aligned, tmp_path / "old", codec=GOLDENS / "codec")
    with pytest.raises(ValueError, match="--transforms whiten: a checkpoint keeps"):
        fit(aligned, tmp_path / "new", finetune_path=old, transforms="whiten")
