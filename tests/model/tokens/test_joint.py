"""The export as a causal language model, run by transformers itself."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Qwen2ForCausalLM, Qwen2MoeForCausalLM

from sled.decoding import DecodingOptions, Request, generate
from sled.model.tokens.files import load_token_lm
from sled.model.tokens.joint import JointVocabulary, save_causal_lm
from tests.tokens import (
    RECORDED,
    debug_cosyvoice2,
    debug_ended_simpletts,
    debug_simpletts,
    text_ends,
)

MODELS = {"recorded": lambda: load_token_lm(RECORDED / "lm_v2"), "debug": debug_cosyvoice2}


@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize("make_model", MODELS.values(), ids=MODELS)
def test_transformers_generates_the_same_tokens(make_model, prompted, tmp_path):
    model = make_model()
    joint = save_causal_lm(model, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert isinstance(theirs, Qwen2ForCausalLM)
    speech = [5, 4, 3] if prompted else []
    for text in ([7, 8, 9], [*range(20, 32)]):
        prompt = torch.tensor([joint.prompt([4] * prompted + text, speech)])
        generated = theirs.generate(
            prompt,
            do_sample=False,
            min_new_tokens=2 * len(text),
            max_new_tokens=20 * len(text),
        )[0, prompt.shape[1] :]
        request = Request(
            [*[4] * prompted, *text, joint.begin_speech],
            torch.tensor(speech) if prompted else None,
            prompt_tokens=int(prompted),
        )
        options = replace(DecodingOptions.of_model(model.config), temperature=0.0)
        [ours] = generate(model, [request], torch.Generator(), options)
        assert joint.speech(generated.tolist()) == ours.speech.tolist()


def test_transformers_generates_the_recorded_tokens(tmp_path):
    recorded = load_file(RECORDED / "cases.safetensors")
    joint = save_causal_lm(load_token_lm(RECORDED / "lm_v2"), tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = torch.tensor([joint.prompt(recorded["lm_v2_greedy.text"][0].tolist())])
    generated = theirs.generate(prompt, do_sample=False, min_new_tokens=14, max_new_tokens=140)
    tokens = joint.speech(generated[0, prompt.shape[1] :].tolist())
    assert tokens == recorded["lm_v2_greedy.tokens"].tolist()


def test_sampled_ids_are_never_text(tmp_path):
    joint = save_causal_lm(debug_cosyvoice2(), tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = torch.tensor([joint.prompt([7, 8, 9])]).expand(8, -1)
    torch.manual_seed(0)
    generated = theirs.generate(prompt, max_new_tokens=20)[:, prompt.shape[1] :]
    assert (generated >= joint.first_speech).all()
    assert len({tuple(row) for row in generated.tolist()}) == 8


def test_what_is_no_speech_ends_it():
    joint = JointVocabulary.of(debug_cosyvoice2())
    assert joint.prompt([5, 6], [0, 1]) == [301, 5, 6, 300, 302, 303]
    assert joint.speech([302, 325, 326, 303]) == [0, 23]


@pytest.mark.parametrize("make_model", [debug_simpletts, debug_ended_simpletts])
def test_transformers_speaks_in_the_voices_of_simpletts(make_model, tmp_path):
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    voices = {name: torch.randn(6, generator=generator) for name in ("anna", "ben")}
    joint = save_causal_lm(model, tmp_path, voices)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert isinstance(theirs, Qwen2MoeForCausalLM)
    options = replace(DecodingOptions.of_model(model.config), temperature=0.0)
    text, spoken = [20, 21, 22], []
    for name, vector in voices.items():
        prompt = torch.tensor([joint.prompt(text, voice=name)])
        generated = theirs.generate(
            prompt, do_sample=False, min_new_tokens=2 * len(text), max_new_tokens=20 * len(text)
        )[0, prompt.shape[1] :]
        before, after = text_ends(model)
        whole = [*before, *text, *after, joint.begin_speech]
        request = Request(whole, conditions={"speaker": vector})
        [ours] = generate(model, [request], torch.Generator(), options)
        spoken.append(joint.speech(generated.tolist()))
        assert spoken[-1] == ours.speech.tolist()
    assert spoken[0] != spoken[1]
    with pytest.raises(ValueError, match="needs one at least"):
        save_causal_lm(model, tmp_path)
