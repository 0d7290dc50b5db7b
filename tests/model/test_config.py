"""The contents of config.json, and which configurations are valid."""

import json
from pathlib import Path

import pytest

from sled.model.config import Config
from sled.model.huggingface import SpeechLlamaConfig
from tests.debug import GOLDENS, LAYOUT_IDS, LAYOUTS, debug_config, debug_model, for_transformers

# Settings that the published format does not know, each with a value that is not the default.
EXTRAS = {
    "score": "gaussian_mmd",
    "score_beta": 0.5,
    "score_samples": 4,
    "score_bandwidths": (1.0, 3.0),
    "history_noise": 0.2,
    "scheduled_sampling": 0.5,
    "frame_rate": 50.0,
    "text_normalization": "english",
    "distilled_cfg": 2.0,
    "speaking_temperature": 0.8,
    "speaking_cfg": 1.5,
    "speaking_draws": 4,
    "min_frames_per_token": 1.5,
    "max_frames_per_token": 3.5,
    "trained_frames": 200,
    "head": "token",
    "conditions": {"speaker": 8},
}


def config_json(folder: Path) -> dict[str, object]:
    return json.loads((folder / "config.json").read_text())


def for_transformers_config(**changes: object) -> SpeechLlamaConfig:
    return SpeechLlamaConfig(**debug_config(**changes).to_dict())


def plain(config: Config) -> Config:
    return Config(config.architecture, config.objective, config.speaking)


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
def test_a_saved_model_holds_the_published_keys(layout, tmp_path):
    for_transformers(debug_model(**layout)).save_pretrained(tmp_path)
    published = config_json(GOLDENS / ("stream" if layout else "offline"))
    assert config_json(tmp_path).keys() == published.keys()


@pytest.mark.parametrize("golden", ["offline", "stream"])
def test_a_published_config_is_saved_as_it_was_read(golden, tmp_path):
    SpeechLlamaConfig.from_pretrained(GOLDENS / golden).save_pretrained(tmp_path)
    theirs, ours = config_json(GOLDENS / golden), config_json(tmp_path)
    del theirs["transformers_version"], ours["transformers_version"]
    assert ours == theirs
    Config.load(GOLDENS / golden).save(tmp_path / "plain")
    del theirs["torch_dtype"]  # the plain form does not hold it
    assert config_json(tmp_path / "plain") == theirs


def test_the_defaults_are_the_published_model():
    sizes = Config().architecture
    assert (sizes.hidden_size, sizes.intermediate_size) == (1024, 2752)
    assert (sizes.num_hidden_layers, sizes.num_attention_heads) == (12, 16)
    assert (sizes.diffloss_w, sizes.diffloss_d, sizes.noise_channels) == (1024, 6, 128)
    assert (sizes.vocab_size, sizes.max_position_embeddings) == (16384, 2048)
    assert (sizes.rope_theta, sizes.rms_norm_eps) == (10000.0, 1e-6)
    assert (sizes.vae_embed_dim, Config().objective.training_cfg) == (128, 0.1)
    assert (sizes.bos_token_id, sizes.pad_token_id, sizes.eos_token_id) == (0, 1, 2)


def test_every_setting_survives_the_round_trip(tmp_path):
    config = for_transformers_config(
        num_key_value_heads=2,
        head_dim=10,
        rope_theta=500.0,
        rms_norm_eps=1e-5,
        dropout=0.3,
        training_cfg=0.2,
        stream_n=7,
        stream_m=11,
        **EXTRAS,
    )
    config.save_pretrained(tmp_path)
    assert SpeechLlamaConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
    assert Config.load(tmp_path) == plain(config) == Config.from_dict(plain(config).to_dict())
    Config.load(tmp_path).save(tmp_path / "plain")
    assert plain(SpeechLlamaConfig.from_pretrained(tmp_path / "plain")) == plain(config)


@pytest.mark.parametrize("key", EXTRAS)
def test_extras_are_written_only_when_they_matter(key, tmp_path):
    debug_config().save(tmp_path)
    assert not config_json(tmp_path).keys() & EXTRAS.keys()
    debug_config(**{key: EXTRAS[key]}).save(tmp_path)
    assert config_json(tmp_path).keys() & EXTRAS.keys() == {key}
    assert getattr(SpeechLlamaConfig.from_pretrained(tmp_path), key) == EXTRAS[key]


def test_flat_keys_and_parts_of_a_transformers_config_are_the_same(tmp_path):
    config = for_transformers_config(speaking_draws=2)
    config.dropout, config.speaking.draws = 0.5, 3
    assert (config.objective.dropout, config.speaking_draws) == (0.5, 3)
    config.save_pretrained(tmp_path)
    loaded = SpeechLlamaConfig.from_pretrained(tmp_path, hidden_size=64)
    assert (loaded.architecture.hidden_size, loaded.objective.dropout) == (64, 0.5)
    assert not hasattr(config, "hiden_size")


@pytest.mark.parametrize("make", [Config.from_dict, lambda keys: SpeechLlamaConfig(**keys)])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hiden_size": 64}, "hiden_size"),
        ({"num_attention_heads": 4, "num_key_value_heads": 3}, "num_key_value_heads=3"),
        ({"head_dim": 7}, "head_dim=7"),
        ({"stream_n": 5}, "stream_m=None"),
        ({"stream_m": 45}, "stream_n=None"),
        ({"score": "likelihood"}, "likelihood"),
        ({"score_beta": 0.0}, "score_beta=0.0"),
        ({"score_beta": 2.0}, "score_beta=2.0"),
        ({"score_samples": 1}, "score_samples=1"),
        ({"scheduled_sampling": 1.5}, "scheduled_sampling=1.5"),
        ({"speaking_draws": 0}, "speaking_draws=0"),
        ({"conditions": {"speaker": 0}}, "'speaker': 0"),
        ({"diffloss_w": 10**7}, "diffloss_w=10000000 is above 1,048,576"),
        ({"hidden_size": 10**20}, "hidden_size=100000000000000000000 is above"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings=True"),
    ],
)
def test_what_no_model_can_have_is_refused(changes, named, make):
    with pytest.raises(ValueError, match=named):
        make(changes)


@pytest.mark.parametrize("load", [Config.load, SpeechLlamaConfig.from_pretrained])
def test_an_unknown_key_on_disk_is_refused(load, tmp_path):
    debug_config().save(tmp_path)
    stored = config_json(tmp_path) | {"num_experts": 8}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="num_experts"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "not a JSON object"), ('{"model_type": "llama"}', "'llama'")],
)
def test_a_file_that_is_no_configuration_is_refused(text, message, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Config.load(tmp_path)


@pytest.mark.parametrize("size", [0, -8, 8.5, "8", None])
@pytest.mark.parametrize("name", ["hidden_size", "num_attention_heads", "head_steps"])
def test_sizes_that_no_model_can_have_are_refused(name, size):
    with pytest.raises(ValueError, match=f"{name}={size!r} must be a whole number of at least 1"):
        Config.from_dict({name: size})
