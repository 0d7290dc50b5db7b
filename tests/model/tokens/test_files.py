"""Checkpoints of speech-token models, in our form and in the published one."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sled.decoding import DecodingOptions
from sled.files.without_weights import without_weights
from sled.loading import load_tokenizer, read_config
from sled.model.registry import model_family
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.model.tokens.files import load_token_lm, published_state, save_token_lm
from sled.model.tokens.simpletts import SimpleTTSLM
from sled.text.incremental import IncrementalTokenizer
from sled.text.published_tokenizers import load_corpus_tokenizer
from tests.debug import debug_tokenizer
from tests.text.qwen2 import write_qwen2_tokenizer
from tests.tokens import RECORDED, debug_cosyvoice, debug_cosyvoice2, debug_simpletts

MODELS = ["lm_v1", "lm_v2", "simple_lm"]


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_has_the_published_tensors(name, tmp_path):
    model = load_token_lm(RECORDED / name)
    save_token_lm(model, tmp_path)
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path, RECORDED / name))
    assert ours.keys() == theirs.keys()
    assert all(ours[key].equal(theirs[key]) for key in ours)
    again = load_token_lm(tmp_path)
    assert again.digest() == model.digest()
    assert again.config == model.config


@pytest.mark.parametrize("name", MODELS)
def test_the_registry_knows_the_models(name):
    family = model_family(RECORDED / name)
    model = family.load_model(RECORDED / name, torch.bfloat16)
    assert model.dtype == torch.bfloat16
    config = family.load_config(RECORDED / name)
    assert config == model.config
    assert family.num_parameters(config) == model.parameter_count


@pytest.mark.parametrize("make_model", [debug_cosyvoice, debug_cosyvoice2])
@pytest.mark.parametrize("alone", [False, True], ids=["folder", "alone"])
def test_a_published_folder_needs_no_configuration(make_model, alone, tmp_path):
    """Sizes are read off the tensors; heads of the text model stand in its own folder."""
    model = make_model()
    torch.save(published_state(model) | {"epoch": 3, "step": 40}, tmp_path / "llm.pt")
    (tmp_path / "CosyVoice-BlankEN").mkdir()
    sizes = {"num_attention_heads": 4, "max_position_embeddings": 512, "rope_theta": 1e6}
    (tmp_path / "CosyVoice-BlankEN" / "config.json").write_text(json.dumps(sizes))
    loaded = load_token_lm(tmp_path / "llm.pt" if alone else tmp_path)
    assert loaded.digest() == model.digest()
    ours, theirs = loaded.config.architecture, model.config.architecture
    theirs.frame_rate, rate = ours.frame_rate, theirs.frame_rate
    try:
        mine, expected = vars(ours).copy(), vars(theirs).copy()
        assert mine == expected
    finally:
        theirs.frame_rate = rate


def test_the_configuration_beside_a_published_model_tells_its_rate(tmp_path):
    torch.save(published_state(debug_cosyvoice()), tmp_path / "llm.pt")
    assert load_token_lm(tmp_path).config.architecture.frame_rate == 50
    settings = "llm: !new:a.{} {{}}\nflow: !new:a.MaskedDiffWithXvec {{input_frame_rate: 25}}\n"
    (tmp_path / "cosyvoice.yaml").write_text(settings.format("Qwen2LM"))
    assert load_token_lm(tmp_path).config.architecture.frame_rate == 50  # of another model
    (tmp_path / "cosyvoice.yaml").write_text(settings.format("TransformerLM"))
    assert load_token_lm(tmp_path).config.architecture.frame_rate == 25


@pytest.mark.parametrize("kind", ["own", "qwen2"])
def test_simpletts_says_a_text_as_it_has_learned_it(kind, tmp_path):
    if kind == "own":
        debug_tokenizer().save_pretrained(tmp_path)
    else:
        write_qwen2_tokenizer(tmp_path)
    theirs = load_corpus_tokenizer(tmp_path, with_ends=True)
    model = SimpleTTSLM(replace(debug_simpletts().sizes, text_vocab=theirs.size, vocab_size=500))
    model.set_text_ends(*theirs.ends)
    save_token_lm(model, tmp_path)
    config = read_config(tmp_path)
    tokenizer, text = load_tokenizer(tmp_path, config), "four two"
    ids = [*theirs.ids(text), theirs.size]
    assert tokenizer.encode(text) == ids
    ends = {"own": (0, 2), "qwen2": (None, theirs.size - 3)}[kind]  # of three special tokens
    assert (ids[0] if ends[0] is not None else None, ids[-2]) == ends
    growing = IncrementalTokenizer(tokenizer)
    pieces = [growing.feed(character) for character in text]
    assert sum(pieces, []) + growing.finish() == ids
    assert tokenizer.decode(ids) == text
    with pytest.raises(ValueError, match=f"model has {theirs.size} text tokens"):
        model.set_text_ends(None, theirs.size)


def test_a_folder_of_simpletts_without_ends_of_texts_speaks_without(tmp_path):
    save_token_lm(debug_simpletts(), tmp_path)
    debug_tokenizer().save_pretrained(tmp_path)
    flat = json.loads((tmp_path / "config.json").read_text())
    old = {name: one for name, one in flat.items() if name not in ("text_begin_id", "text_end_id")}
    (tmp_path / "config.json").write_text(json.dumps(old))
    tokenizer = load_tokenizer(tmp_path, read_config(tmp_path))
    assert tokenizer.encode("four two") == [*debug_tokenizer().encode("four two")[1:-1], 300]


def test_a_published_file_may_hold_no_code(tmp_path):
    torch.save({"llm_decoder.bias": Path("/")}, tmp_path / "llm.pt")
    with pytest.raises(ValueError, match=r"llm\.pt is no state dict of tensors .*copy it again"):
        load_token_lm(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("llm.pt", b"?"), ("llm.pt", b""), ("llm.safetensors", b"?")]
)
def test_a_damaged_file_is_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is no state dict.*: copy it again"):
        load_token_lm(tmp_path / name)


def test_weights_of_an_unknown_model_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "llm.pt")
    with pytest.raises(ValueError, match="of no known model"):
        load_token_lm(tmp_path)
    torch.save(published_state(debug_simpletts()), tmp_path / "llm.pt")
    with pytest.raises(ValueError, match="of no known model"):
        load_token_lm(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Singer"}, "known are .*Qwen2LM"),
        ({"qwen2": None}, "no configuration of a Qwen2LM"),
        ({"speech_token_size": -9}, "no configuration of a Qwen2LM"),
        ({"speech_token_size": "81"}, "no configuration of a Qwen2LM"),
        ({"mix_ratio": [5]}, "both chunk sizes"),
        ({"speech_token_size": 80}, r"wrong shape: .*llm_decoder"),
        ({"speaking_temperature": -1}, "speaking_temperature=-1 is below 0"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change, message, tmp_path):
    folder = shutil.copytree(RECORDED / "lm_v2", tmp_path / "model")
    flat = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in (flat | change).items()}))
    with pytest.raises(ValueError, match=message):
        load_token_lm(folder)


def test_a_configuration_is_read_without_weights(tmp_path):
    config = read_config(RECORDED / "lm_v2")
    assert config.architecture.vocab_size == 90
    assert config.speaking.sampling().top_k == 25


def test_the_published_sizes_have_the_published_number_of_parameters():
    sizes = {
        "text_token_size": 51_866,
        "speech_token_size": 4096,
        "spk_embed_dim": 192,
        "text_encoder_input_size": 512,
        "text_encoder": {
            "output_size": 1024,
            "attention_heads": 16,
            "linear_units": 4096,
            "num_blocks": 6,
        },
        "llm_input_size": 1024,
        "llm_output_size": 1024,
        "llm": {"attention_heads": 16, "linear_units": 4096, "num_blocks": 14},
    }
    with without_weights():
        first, second = CosyVoiceLM.from_dict(sizes), CosyVoice2LM(CosyVoice2Sizes())
    assert first.parameter_count == pytest.approx(310.7e6, rel=1e-3)
    assert sum(p.numel() for p in first.text_encoder.parameters()) == pytest.approx(
        82.4e6, rel=1e-3
    )
    # Qwen2 0.5B, and tables and scores of 6564 ids.
    assert second.parameter_count == 494_032_768 + 2 * 6564 * 896 + 6564 + 2 * 896


def test_a_model_tells_how_its_texts_are_normalised(tmp_path):
    sizes = CosyVoice2Sizes(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        text_normalization="english",
    )
    save_token_lm(CosyVoice2LM(sizes), tmp_path)
    assert read_config(tmp_path).architecture.text_normalization == "english"
    debug_tokenizer().save_pretrained(tmp_path)
    tokenizer = load_corpus_tokenizer(tmp_path, normalization="english")
    plain = load_corpus_tokenizer(tmp_path)
    assert tokenizer.ids("It costs $5.") == plain.ids("it costs five dollars.")


@pytest.mark.parametrize("make_model", [debug_cosyvoice, debug_cosyvoice2, debug_simpletts])
def test_settings_of_speaking_are_kept_beside_the_sizes(make_model, tmp_path):
    model = deepcopy(make_model())
    published = set(model.config.to_dict())
    model.config.speaking.temperature, model.config.speaking.top_p = 0.3, 1.0
    assert set(model.config.to_dict()) - published == {"speaking_temperature", "speaking_top_p"}
    save_token_lm(model, tmp_path)
    for config in (load_token_lm(tmp_path).config, read_config(tmp_path)):
        options = DecodingOptions.of_model(config)
        assert (options.temperature, options.sampling.top_p, options.sampling.top_k) == (0.3, 1, 25)
        assert config.to_dict() == model.config.to_dict()
