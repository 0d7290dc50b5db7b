"""Fine-tuning of the language model of Step-Audio-EditX, with adapters and as a whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from sled.codec.flow.files import load_flow
from sled.codec.token_codec.model import TokenCodec
from sled.data.tokens.pack import write_parquet
from sled.data.tokens.tables import SPEECH_TOKENS, write_table
from sled.model.tokens.samples import TokenSample
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.editx.chat import (
    BEGIN_TEXT,
    BEGIN_TURN,
    END_TURN,
    ChatTokenizer,
    load_chat_lm,
)
from sled.training.editx.checkpoints import load_finetuned
from sled.training.editx.finetuned import load_finetuned_model
from sled.training.editx.settings import read_settings
from tests.codec.token_codec.models import token_networks
from tests.commands import run
from tests.data.tokens.corpora import (
    SPEAKER_VECTORS,
    SPEAKERS,
    UTTERANCE_VECTORS,
    make_folder,
    name,
    seconds,
)
from tests.debug import GOLDENS, debug_tokenizer

FIRST, NUM = 310, 100
CODES = {"first_speech": FIRST, "num_speech": NUM}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A folder with a tiny model, a corpus in Parquet, and a configuration."""
    folder = tmp_path_factory.mktemp("editx")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=FIRST + NUM, num_attention_heads=4, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    debug_tokenizer().save_pretrained(folder / "model")
    source = make_folder(folder / "source", count=6, tables=False)
    random = np.random.default_rng(0)
    rows = {name(n): random.integers(NUM, size=round(125 / 3 * seconds(n))) for n in range(6)}
    write_table(source / SPEECH_TOKENS, rows)
    vectors = {name(n): random.normal(size=16) for n in range(6)}
    write_table(source / UTTERANCE_VECTORS, vectors)
    write_table(source / SPEAKER_VECTORS, {one: random.normal(size=16) for one in SPEAKERS})
    write_parquet(source, folder / "parquet")
    listed = str(folder / "parquet" / "data.list")
    content = {
        "basic": {"log_interval": 1},
        "data": {"train_data": listed, "cv_data": listed, "max_frames_in_batch": 300},
        "model": {
            "llm": {"path": str(folder / "model"), "first_speech": FIRST, "num_speech": NUM},
            "flow": {"path": str(GOLDENS / "token-flow" / "step_flow")},
        },
        "optim": {"lr_llm": 0.01, "lr_flow": 0.01, "accum_grad": 1, "warmup_steps": 1},
        "stage": {"stage1_epochs": 5, "stage2_epochs": 3, "stage3_epochs": 2},
    }
    (folder / "lora.yaml").write_text(yaml.safe_dump(content))
    content["model"]["llm"]["lora_r"] = 0
    (folder / "whole.yaml").write_text(yaml.safe_dump(content))
    return folder


def finetune(setting, config, output, mode="llm"):
    words = ("--config", setting / config, "--mode", mode, "--use_cpu", "--output", output)
    return run("finetune", *map(str, words))


@pytest.mark.parametrize("config", ["lora.yaml", "whole.yaml"])
def test_a_model_is_tuned(setting, config, tmp_path):
    assert finetune(setting, config, tmp_path / "tuned") == 0
    folder = tmp_path / "tuned"
    best = torch.load(folder / "llm_best.pt", weights_only=True)
    assert (folder / "llm_epoch_5.pt").is_file()
    state = json.loads((folder / "llm" / "trainer_state.json").read_text())
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert len(losses) == 5 and losses[-1] < losses[0]
    assert best["val_loss"] == pytest.approx(min(losses))
    # Libraries load what was saved.
    if config == "lora.yaml":
        from peft import PeftModel

        assert all("lora" in key for key in best["model_state_dict"])
        base = AutoModelForCausalLM.from_pretrained(setting / "model", dtype=torch.float32)
        tuned = PeftModel.from_pretrained(base, folder / "llm")
    else:
        tuned = AutoModelForCausalLM.from_pretrained(folder / "llm", dtype=torch.float32)
    ours = load_chat_lm(
        setting / "model",
        rank=8 if config == "lora.yaml" else 0,
        **CODES,
    ).eval()
    ours.load(folder / "llm")
    ids = torch.tensor([[1, 4, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(ours.model(ids).logits, tuned.eval()(ids).logits)


def test_only_the_answer_is_learned(setting):
    model = load_chat_lm(setting / "model", rank=0, **CODES).eval()
    tokenizer = ChatTokenizer(load_corpus_tokenizer(setting / "model"), "be brief")
    plain = load_corpus_tokenizer(setting / "model").ids
    prompt = [
        *(BEGIN_TEXT, BEGIN_TURN, *plain("system\nbe brief"), END_TURN),
        *(BEGIN_TURN, *plain("human\none"), END_TURN, BEGIN_TURN, *plain("assistant\n")),
    ]
    assert tokenizer.ids("one") == prompt
    samples = [
        TokenSample(torch.tensor(tokenizer.ids(text)), torch.tensor(speech))
        for text, speech in (("one", [5, 6]), ("two two", [9, 8, 7, 6]))
    ]
    output = model(samples)
    assert output.targets[:3].tolist() == [FIRST + 5, FIRST + 6, END_TURN]
    # transformers computes the same loss of each sample alone.
    for sample, ours in zip(samples, output.log_likelihoods(), strict=True):
        answer = torch.tensor([*(sample.speech + FIRST), END_TURN])
        ids = torch.cat((sample.text, answer))[None]
        labels = torch.cat((torch.full_like(sample.text, -100), answer))[None]
        theirs = model.model(input_ids=ids, labels=labels).loss
        torch.testing.assert_close(-ours, theirs)


def test_the_configuration_may_say_what_is_trained(setting, tmp_path):
    content = yaml.safe_load((setting / "lora.yaml").read_text())
    path = tmp_path / "config.yaml"
    for mode, needed in (("flow", "flow"), ("both", "flow"), ("nothing", "train_mode")):
        content["basic"] = {"train_mode": mode}
        content["model"]["flow"] = {}
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(ValueError, match=needed):
            read_settings(path)
        assert read_settings(path, "llm")["basic"]["train_mode"] == "llm"


def test_what_cannot_be_used_is_named(setting, tmp_path, capsys):
    (tmp_path / "empty.yaml").write_text("data: {train_data: x}")
    with pytest.raises(ValueError, match="lacks data.cv_data"):
        read_settings(tmp_path / "empty.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    assert finetune(tmp_path, "list.yaml", tmp_path / "out") == 2
    assert "no configuration" in capsys.readouterr().err
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "config.json").write_text('{"auto_map": {"AutoModel": "a.B"}}')
    with pytest.raises(ValueError, match="brings code of its own"):
        load_chat_lm(tmp_path / "code", rank=8)
    # A checkpoint does not decide whether code runs.
    model = read_settings(setting / "lora.yaml")["model"]
    model["llm"] |= {"path": str(tmp_path / "code"), "trust_remote_code": True}
    torch.save({"config": {"model": model}}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="brings code of its own"):
        load_finetuned_model(llm_ckpt_path=tmp_path / "code.pt")
    with pytest.raises(ValueError, match="speech tokens go up to"):
        load_chat_lm(setting / "model", rank=0)


def losses_of(folder):
    """The losses of each epoch of a language model's stage."""
    state = json.loads((folder / "trainer_state.json").read_text())
    return [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]


def test_both_are_tuned_and_loaded_by_name(setting, tmp_path):
    assert finetune(setting, "lora.yaml", tmp_path, mode="both") == 0
    kept = {path.name for path in tmp_path.glob("*_epoch_*.pt")}
    assert kept == {"llm_epoch_5.pt"}  # none of the joint stage, which counts anew
    best = torch.load(tmp_path / "flow_best.pt", weights_only=True)
    begun = load_flow(GOLDENS / "token-flow" / "step_flow")
    trained = best["model_state_dict"].keys()
    assert trained < begun.state_dict().keys()
    assert not any(name.startswith(("encoder", "input_embedding")) for name in trained)
    # What is frozen is as it was, and the rest is loaded by name.
    ended = load_flow(tmp_path / "joint_flow")
    for key, one in ended.state_dict().items():
        assert one.equal(begun.state_dict()[key]) == (key not in trained)
    load_finetuned(begun, tmp_path / "flow_best.pt")
    assert all(begun.state_dict()[key].equal(best["model_state_dict"][key]) for key in trained)
    # The joint stage goes on where the others ended.
    assert len(losses_of(tmp_path / "llm")) == 5 and len(losses_of(tmp_path / "joint_llm")) == 2
    assert losses_of(tmp_path / "joint_llm")[-1] < losses_of(tmp_path / "llm")[-1]
    paths = {f"{one}_ckpt_path": tmp_path / f"{one}_best.pt" for one in ("llm", "flow")}
    tuned = load_finetuned_model(setting / "lora.yaml", **paths)
    assert tuned.flow.state_dict().keys() == ended.state_dict().keys()
    assert all(one.equal(begun.state_dict()[key]) for key, one in tuned.flow.state_dict().items())
    # The codec speaks with it.
    networks = replace(token_networks("step_flow"), flow=tuned.flow)
    tokens = torch.tensor([[[1, 1030], [2, 1031], [1024, 1032]]]).expand(2, -1, -1)
    before, after = (
        TokenCodec(one).decode(tokens) for one in (token_networks("step_flow"), networks)
    )
    assert before.shape == after.shape and not torch.allclose(before, after, atol=1e-3)
    chat = tuned.llm
    learned = torch.load(tmp_path / "llm_best.pt", weights_only=True)["model_state_dict"]
    trained = chat.trained_state()
    assert trained.keys() == learned.keys()
    assert all(one.equal(learned[key]) for key, one in trained.items())
    ids, begin = torch.tensor([[1, 4, 7, 8]]), load_chat_lm(setting / "model", rank=0, **CODES)
    with torch.no_grad():
        assert not torch.allclose(chat.model(ids).logits, begin.eval().model(ids).logits)
    # The published call names no configuration: the checkpoints tell it.
    told = load_finetuned_model(**paths)
    for ours, theirs in ((told.llm, tuned.llm), (told.flow, tuned.flow)):
        states = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
        assert all(one.equal(other) for one, other in states)
    for path in paths.values():
        content = torch.load(path, weights_only=True)
        assert content.keys() >= {"epoch", "val_loss", "config"}
        weights = list(content["model_state_dict"].values())
        moments = content["optimizer_state_dict"]["state"].values()
        assert sorted(one["exp_avg"].shape for one in moments) == sorted(
            one.shape for one in weights
        )
        assert content["scheduler_state_dict"]["last_epoch"] > 0
        assert content["scheduler_state_dict"]["_last_lr"][0] > 0
    alone = load_finetuned_model(setting / "lora.yaml", flow_ckpt_path=tmp_path / "flow_best.pt")
    assert alone.llm is None and alone.flow is not None
    torch.save({"model_state_dict": {}}, tmp_path / "empty.pt")
    with pytest.raises(ValueError, match="empty.pt does not tell its configuration"):
        load_finetuned_model(llm_ckpt_path=tmp_path / "empty.pt")
    with pytest.raises(ValueError, match="no checkpoint of a fine-tuning"):
        load_finetuned_model(flow_ckpt_path=setting / "lora.yaml")
    with pytest.raises(ValueError, match="it has no weights"):
        load_finetuned(chat, tmp_path / "empty.pt")
    with pytest.raises(ValueError, match="no checkpoint of this model"):
        load_finetuned(chat, tmp_path / "flow_best.pt")
    with pytest.raises(ValueError, match="no checkpoint of this model"):
        load_finetuned(chat, setting / "lora.yaml")
