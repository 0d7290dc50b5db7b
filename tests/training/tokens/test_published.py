"""CosyVoice's command: its flags, its configuration, its checkpoints, and their mean."""

import json
from functools import partial

import pytest
import torch
import yaml
from transformers import Qwen2ForCausalLM

from sled.decoding import DecodingOptions, Request, generate
from sled.files.hyperpyyaml import CLASS, read_hyperpyyaml
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.model.tokens.files import load_token_lm, make_token_lm
from sled.model.tokens.text_model import copy_text_model
from sled.training.tokens.average import best_published, main
from sled.training.tokens.cosyvoice_flags import train_published
from sled.training.tokens.published_config import PublishedConfig
from sled.training.tokens.trainer import TokenTrainer
from tests.training.processes import die_in, run_ranks
from tests.training.tokens.published import COSYVOICE, make_setting, published_flags


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return make_setting(tmp_path_factory.mktemp("setting"))


@pytest.fixture(scope="module")
def trained(setting, tmp_path_factory):
    """The folder of a run of two epochs."""
    return train_published(published_flags(setting, tmp_path_factory.mktemp("run") / "llm"))


def test_a_run_leaves_the_published_files(trained):
    names = {path.name for path in trained.glob("*.*")}
    tags = ("init", "epoch_0_whole", "epoch_1_whole")
    assert names == {"config.json"} | {f"{tag}.{form}" for tag in tags for form in ("pt", "yaml")}
    records = [yaml.safe_load((trained / f"{tag}.yaml").read_text()) for tag in tags]
    first, last = records[1:]
    assert last["loss_dict"]["loss"] < first["loss_dict"]["loss"]
    assert (first["epoch"], last["epoch"], last["step"]) == (0, 1, 2 * first["step"])
    assert last["train_engine"] == "torch_ddp" and last["optim_conf"] == {"lr": 1e-3}
    assert list((trained / "curves").iterdir())
    state = torch.load(trained / "epoch_1_whole.pt", weights_only=True)
    assert (state["epoch"], state["step"]) == (1, last["step"])
    assert "llm.model.lm_head.weight" in state


def test_the_mean_of_checkpoints_speaks(trained, tmp_path, capsys):
    assert [path.stem for path in best_published(trained, 2)] == ["epoch_1_whole", "epoch_0_whole"]
    averaged = tmp_path / "llm.pt"
    main(["--dst_model", str(averaged), "--src_path", str(trained), "--num", "2", "--val_best"])
    assert "average of epoch_1_whole.pt, epoch_0_whole.pt" in capsys.readouterr().out
    mean, first, second = (
        load_token_lm(path).llm_decoder.bias
        for path in (averaged, trained / "epoch_0_whole.pt", trained / "epoch_1_whole.pt")
    )
    torch.testing.assert_close(mean, (first + second) / 2)
    model = load_token_lm(averaged)
    request = Request([7, 8, 9, model.config.architecture.eos_token_id])
    options = DecodingOptions.of_model(model.config)
    [spoken] = generate(model, [request], torch.Generator().manual_seed(0), options)
    assert len(spoken.units) >= 6
    with pytest.raises(ValueError, match="has 2 checkpoints, not 5"):
        best_published(trained, 5)


def test_a_checkpoint_is_trained_on(setting, trained, tmp_path, caplog):
    checkpoint = trained / "epoch_1_whole.pt"
    with pytest.raises(ValueError, match="those of epoch 1, .* raise max_epoch"):
        train_published(published_flags(setting, tmp_path / "none", checkpoint=checkpoint))
    config = tmp_path / "longer.yaml"
    text = (setting / "cosyvoice2.yaml").read_text()
    config.write_text(text.replace("max_epoch: 2", "max_epoch: 3"))
    flags = published_flags(setting, tmp_path / "more", checkpoint=checkpoint, config=config)
    output = train_published(flags)
    record = yaml.safe_load((output / "epoch_2_whole.yaml").read_text())
    before = yaml.safe_load((trained / "epoch_1_whole.yaml").read_text())
    assert record["step"] > before["step"]
    assert record["loss_dict"]["loss"] < before["loss_dict"]["loss"]


def test_two_processes_continue_after_they_were_killed(setting, tmp_path):
    outputs = [tmp_path / "whole", tmp_path / "killed"]
    whole, killed = (published_flags(setting, output) for output in outputs)
    assert run_ranks(2, whole, script="train_cosyvoice") == [0, 0]
    die = partial(die_in, "_save_checkpoint", 2, TokenTrainer)
    assert -9 in run_ranks(2, killed, die, script="train_cosyvoice")
    assert (outputs[1] / "epoch_0_whole.pt").is_file()
    assert not (outputs[1] / "epoch_1_whole.pt").exists()
    assert run_ranks(2, killed, script="train_cosyvoice") == [0, 0]
    ours, theirs = (
        torch.load(output / "epoch_1_whole.pt", weights_only=True) for output in outputs
    )
    assert [
        name for name in ours if not torch.equal(*map(torch.as_tensor, (ours[name], theirs[name])))
    ] == []


def test_preferences_are_learned_of_a_corpus_without_evaluation_pairs(setting, tmp_path):
    flags = published_flags(setting, tmp_path, ref_model=setting / "none.pt")
    with pytest.raises(OSError, match="none"):
        train_published([*flags, "--dpo"])
    with pytest.raises(ValueError, match="--dpo needs --ref_model"):
        train_published([*published_flags(setting, tmp_path), "--dpo"])


def test_cosyvoice_is_trained_with_speaker_vectors(setting, tmp_path):
    flags = published_flags(
        setting,
        tmp_path,
        config=setting / "cosyvoice.yaml",
        qwen_pretrain_path=None,
        tokenizer=setting / "qwen",
    )
    output = train_published(flags)
    model = load_token_lm(output / "epoch_0_whole.pt")
    assert isinstance(model, CosyVoiceLM) and model.llm.embed.dropout.p == 0.0


def test_a_text_model_is_that_of_transformers(setting):
    folder = setting / "qwen"
    flat = json.loads((folder / "config.json").read_text())
    model = CosyVoice2LM(CosyVoice2Sizes.from_dict({"qwen2": flat})).eval()
    copy_text_model(model, folder)
    theirs = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    text = torch.tensor([5, 6, 7, 8])
    embedded = model.embed_text(text)
    with torch.no_grad():
        ours = model.read(embedded, model.pack([4], embedded))
        expected = theirs.model(text[None]).last_hidden_state[0]
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_configuration_is_read_without_running_it(setting, tmp_path):
    path = tmp_path / "harmful.yaml"
    path.write_text(
        "__x: !apply:os.system ['touch /tmp/harmed']\n"
        "rate: 25\nsmall: 1e-5\nproduct: !ref <rate> * 2 + 1\n"
        "one: !new:package.Class\n    rate: !ref <rate>\n    deeper: !ref <two>\n"
        "two: !name:package.function\n    deep:\n    - !ref <one[rate]>\n"
    )
    content = read_hyperpyyaml(path, {"rate": 30})
    assert content["__x"] == {CLASS: "os.system", "arguments": ["touch /tmp/harmed"]}
    assert content["product"] == 61 and content["small"] == 1e-5
    assert content["one"]["deeper"] == {CLASS: "package.function", "deep": [30]}
    for text, problem in (
        ("a: !!python/object/apply:os.system ['true']", "no HyperPyYAML"),
        ("a: !ref <b>\nb: !ref <a>", "refers to itself"),
        ("a: !ref <missing>", "names nothing"),
        ("a: 2\nb: !ref <a> ** <a> + open('x')", "no arithmetic"),
        ("- 1", "no map"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=problem):
            read_hyperpyyaml(path)
    config = PublishedConfig.load(setting / "cosyvoice2.yaml")
    assert config.pipeline().max_frames_in_batch == 300
    assert config.training_flags()["learning_rate"] == 1e-3


def test_a_new_model_has_the_rate_of_its_configuration(tmp_path):
    flow = "flow: !new:a.MaskedDiffWithXvec {input_frame_rate: 25}\n"
    (tmp_path / "plain.yaml").write_text(COSYVOICE)
    (tmp_path / "slow.yaml").write_text(f"{COSYVOICE}\n{flow}")
    plain, slow = (
        make_token_lm(PublishedConfig.load(tmp_path / name).model_sizes(), tmp_path)
        for name in ("plain.yaml", "slow.yaml")
    )
    rates = [one.config.architecture.frame_rate for one in (plain, slow)]
    assert rates == [50, 25]


def test_guided_attention_needs_to_know_what_is_said(setting, tmp_path):
    config = (setting / "cosyvoice2.yaml").read_text()
    guided = setting / "guided.yaml"
    guided.write_text(config.replace("train_conf:\n", "train_conf:\n    alignment_weight: 1\n"))
    with pytest.raises(ValueError, match="run sled cache spoken"):
        train_published(published_flags(setting, tmp_path, config=guided))
    guided.write_text(guided.read_text().replace("alignment_weight: 1", "alignment_weight: -1"))
    with pytest.raises(ValueError, match="below 0"):
        train_published(published_flags(setting, tmp_path, config=guided))


def test_no_encoder_of_a_flow_learns_alone_by_default(setting, tmp_path):
    path = tmp_path / "flow.yaml"
    content = (setting / "cosyvoice2.yaml").read_text()

    def steps(settings: str) -> int:
        path.write_text(content.replace("train_conf:\n", f"train_conf:\n    {settings}\n"))
        return PublishedConfig.load(path).prior_steps()

    assert steps("max_epoch: 3") == 0
    assert steps("prior_steps: 7") == 7
    with pytest.raises(ValueError, match="prior_steps -1: use 0 or more"):
        steps("prior_steps: -1")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_corpus_whose_rows_are_all_filtered_is_an_error_that_says_so(
    num_workers, setting, tmp_path
):
    config = tmp_path / "long.yaml"
    text = (setting / "cosyvoice2.yaml").read_text()
    config.write_text(text.replace("min_length: 50", "min_length: 5000"))
    changes = {"config": config, "num_workers": num_workers, "prefetch": 2}
    with pytest.raises(ValueError, match=r"^no row of 4 .* used: 12 \(100.0%\) too short$"):
        train_published(published_flags(setting, tmp_path / "run", **changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": "flow"}, "--model flow"),
        ({"checkpoint": "nothing.pt"}, "no model at nothing.pt"),
        ({"train_data": "nothing.list"}, "no list of Parquet files"),
        ({"config": "nothing.yaml"}, "nothing.yaml"),
    ],
)
def test_what_cannot_be_used_is_named(setting, tmp_path, changes, problem):
    with pytest.raises((ValueError, OSError), match=problem):
        train_published(published_flags(setting, tmp_path, **changes))
