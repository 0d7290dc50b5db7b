"""Which code loads a checkpoint, and where the checkpoint comes from."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sled import TTS, DecodingOptions
from sled.files.checkpoint import checkpoint_folder
from sled.loading import check_parts
from sled.model.config import Config
from sled.model.lm import SpeechLM
from sled.model.registry import FAMILIES, ModelFamily, load_speech_lm, model_family
from sled.text.tokenizer import TextTokenizer
from tests.debug import debug_checkpoint, debug_codec, debug_config, debug_model, debug_tokenizer
from tests.ids import debug_id_codec, debug_id_model

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
    with pytest.raises(ValueError, match="'toy', known are speech_llama"):
        TTS.from_pretrained(folder)
    monkeypatch.setitem(FAMILIES, "toy", ModelFamily(load_toy_config, load_toy))
    toy = TTS.from_pretrained(folder).say("one", options=FEW)
    assert toy.audio.shape == ours.audio.shape
    assert abs(toy.audio - ours.audio).max() > 1e-3


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_configuration_is_named(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json is not a configuration"):
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


# The hub.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one checkpoint, "someone/model", and the names of the files asked of it."""
    asked, remote = [], debug_checkpoint(tmp_path / "remote")

    def download(name: str, file: str) -> str:
        asked.append(file)
        if name != "someone/model":
            raise OSError("401 Client Error\nlong story")
        if not (remote / file).is_file():
            raise EntryNotFoundError(file)
        target = tmp_path / "cache" / file
        target.parent.mkdir(exist_ok=True)
        shutil.copy(remote / file, target)
        return str(target)

    from huggingface_hub.errors import EntryNotFoundError

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return SimpleNamespace(folder=remote, asked=asked)


def test_a_checkpoint_is_downloaded_by_its_name(hub):
    folder = checkpoint_folder("someone/model")
    assert load_speech_lm(folder).digest() == debug_model().digest()
    assert hub.asked == ["config.json", "model.safetensors"]


def test_a_checkpoint_in_several_files_is_downloaded_whole(hub):
    weights = "model.safetensors"
    (hub.folder / weights).rename(hub.folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (hub.folder / f"{weights}.index.json").write_text(json.dumps(index))
    assert load_speech_lm(checkpoint_folder("someone/model")).digest() == debug_model().digest()


@pytest.mark.parametrize("name", ["someone/else", "a/b/c/d"])
def test_a_name_that_the_hub_does_not_know_is_refused_in_one_line(name, hub):
    with pytest.raises(ValueError, match="^no checkpoint at .*401 Client Error$"):
        checkpoint_folder(name)


def test_a_folder_is_not_looked_for_on_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    folder = debug_checkpoint(tmp_path / "local")
    assert checkpoint_folder(folder) == checkpoint_folder(str(folder)) == folder
    assert TextTokenizer.from_pretrained(folder)
    for path in (tmp_path / "nothing", "./nothing", "~/nothing"):
        with pytest.raises(ValueError, match="no checkpoint folder"):
            checkpoint_folder(path)
