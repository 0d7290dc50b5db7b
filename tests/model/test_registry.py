"""Which code loads a checkpoint, and where the checkpoint comes from."""

import json
import sys
from copy import copy
from pathlib import Path

import pytest
import torch

from sled import TTS, DecodingOptions
from sled.files import hub as hub_files
from sled.files.checkpoint import checkpoint_folder
from sled.loading import check_parts, model_folder
from sled.model.config import Config
from sled.model.lm import SpeechLM, num_parameters
from sled.model.registry import FAMILIES, ModelFamily, load_speech_lm, model_family
from sled.text.tokenizer import TextTokenizer
from tests.debug import (
    debug_checkpoint,
    debug_codec,
    debug_config,
    debug_model,
    debug_tokenizer,
)
from tests.hub import install_hub
from tests.ids import debug_id_codec, debug_id_model
from tests.tokens import debug_cosyvoice, debug_token_tokenizer

FEW = DecodingOptions(cfg=1.0, min_frames=4, max_frames=4)


def retype(folder: Path, model_type: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))


def load_toy_config(folder: Path) -> Config:
    """The same settings, whatever the type of the model."""
    flat = json.loads((folder / "config.json").read_text())
    return Config.from_dict(flat)


def load_toy(folder: Path, dtype: torch.dtype | None) -> SpeechLM:
    model = load_speech_lm(folder, dtype, load_toy_config(folder))
    with torch.no_grad():
        model.scoreloss.net.final_layer.linear.bias += 1.0
    return model


def test_another_type_of_model_speaks_once_it_is_known(tmp_path, monkeypatch):
    folder = debug_checkpoint(tmp_path / "model")
    ours = TTS.from_pretrained(folder).say("one", options=FEW)
    retype(folder, "toy")
    with pytest.raises(ValueError, match="'toy', known are .*speech_llama"):
        TTS.from_pretrained(folder)
    monkeypatch.setitem(FAMILIES, "toy", ModelFamily(load_toy_config, load_toy, num_parameters))
    toy = TTS.from_pretrained(folder).say("one", options=FEW)
    assert toy.audio.shape == ours.audio.shape
    assert abs(toy.audio - ours.audio).max() > 1e-3


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_configuration_is_named(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json is not .*JSON.*: copy it again"):
        model_family(tmp_path)


# What must fit together.


def test_parts_that_belong_together_are_taken():
    check_parts(debug_config(), debug_tokenizer(), debug_codec())
    check_parts(debug_id_model().config, debug_tokenizer(), debug_id_codec())


@pytest.mark.parametrize(
    ("config", "codec", "message"),
    [
        (debug_config(vae_embed_dim=8), debug_codec(), r"\[32\].*\[8\]"),
        (debug_config(), debug_id_codec(), r"\[\].*\[32\]"),
        (debug_id_model().config, debug_codec(), r"\[32\].*\[\]"),
        (debug_config(frame_rate=50.0), debug_codec(), "50"),
        (debug_config(vocab_size=20), debug_codec(), "tokens"),
        (debug_config(text_normalization="english"), debug_codec(), "'english'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(config, codec, message):
    with pytest.raises(ValueError, match=message):
        check_parts(config, debug_tokenizer(), codec)


def test_a_codec_with_fewer_ids_is_refused():
    config = debug_id_model(vae_embed_dim=25).config
    with pytest.raises(ValueError, match="the codec has 24 ids, the model 25"):
        check_parts(config, debug_tokenizer(), debug_id_codec())
    config = debug_cosyvoice(1).config
    codec = copy(debug_id_codec())
    codec.codebook_size = 23
    with pytest.raises(ValueError, match="the codec has 23 ids, the model 24"):
        check_parts(config, debug_token_tokenizer(debug_cosyvoice(1)), codec)


# The hub.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one checkpoint, "someone/model"."""
    remote = debug_checkpoint(tmp_path / "remote")
    return install_hub(monkeypatch, {"someone/model": remote}, tmp_path / "cache")


def test_a_checkpoint_is_downloaded_by_its_name(hub):
    folder = checkpoint_folder("someone/model")
    assert load_speech_lm(folder).digest() == debug_model().digest()
    assert hub.downloads == ["config.json", "model.safetensors"]


def test_a_checkpoint_in_several_files_is_downloaded_whole(hub):
    remote, weights = hub.repositories["someone/model"], "model.safetensors"
    (remote / weights).rename(remote / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (remote / f"{weights}.index.json").write_text(json.dumps(index))
    assert load_speech_lm(checkpoint_folder("someone/model")).digest() == debug_model().digest()


def test_a_model_is_downloaded_with_its_tokenizer_and_used_without_a_connection_later(hub):
    with pytest.raises(ValueError, match="no checkpoint someone/else: .*no public repository"):
        model_folder("someone/else")
    folder = model_folder("someone/model")
    assert TextTokenizer.from_pretrained(folder)
    hub.online = False
    hub_files._look_up.cache_clear()
    assert model_folder("someone/model") == folder


def test_a_model_brings_its_codec_and_voices_from_the_hub(hub):
    remote = hub.repositories["someone/model"]
    (remote / "voices").mkdir()
    (remote / "voices" / "anna.safetensors").write_bytes(b"a voice")
    folder = model_folder("someone/model")
    assert sorted(path.name for path in (folder / "codec").iterdir()) == sorted(
        path.name for path in (remote / "codec").iterdir()
    )
    assert (folder / "voices" / "anna.safetensors").read_bytes() == b"a voice"


def test_a_hub_that_cannot_be_reached_is_asked_once(hub):
    hub.online = False
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot be reached .*name a folder"):
            model_folder("someone/model")
    assert hub.lookups == ["someone/model"]


@pytest.mark.parametrize("name", ["a/b/c/d", "/a/b", "a b/c", "./a/b"])
def test_what_is_no_name_of_a_repository_is_not_looked_up(name, hub):
    with pytest.raises(ValueError, match="no checkpoint folder at"):
        model_folder(name)
    assert hub.lookups == []


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("englisch", "(did you mean english?)"), ("digit", "(did you mean digits?)"), ("xy", "xy:")],
)
def test_a_mistyped_bundled_model_is_suggested(name, suggestion, hub):
    with pytest.raises(ValueError, match="bundled models are english and digits") as refusal:
        model_folder(name)
    assert suggestion in str(refusal.value)
    assert hub.lookups == []


def test_a_folder_is_not_looked_for_on_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    folder = debug_checkpoint(tmp_path / "local")
    assert checkpoint_folder(folder) == checkpoint_folder(str(folder)) == folder
    assert TextTokenizer.from_pretrained(folder)
    for path in (tmp_path / "nothing", "./nothing", "~/nothing"):
        with pytest.raises(ValueError, match="no checkpoint folder"):
            checkpoint_folder(path)
