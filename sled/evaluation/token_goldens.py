"""Agreement of speech-token language models with recorded outputs of published ones.

A folder of such goldens has a folder for each model, with its weights and sizes, and the cases:
losses with their gradients, generated tokens with the scores before them, draws of the sampler,
learning rates, and means of checkpoints.
Recordings of known faults, and of parts that are not in this package, are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sled.decoding import DecodingOptions, Request, generate
from sled.evaluation.cases import CaseResult
from sled.evaluation.data_goldens import DATA_CHECKS
from sled.evaluation.flow_goldens import FLOW_CHECKS
from sled.evaluation.training_goldens import TRAINING_CHECKS
from sled.model.ids import Sampling
from sled.model.layout import Layout
from sled.model.sampling import IdDraws, draw_ids
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.files import load_token_lm, published_name
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.losses import NO_TARGET, label_smoothed_loss
from sled.model.tokens.samples import TokenOutput, TokenSample
from sled.model.tokens.simpletts import SimpleTTSLM

# Recordings of what published code does wrong have names that end so.
FAULTY = "_published"
SPEAKER = "speaker"

Tensors = dict[str, Tensor]
Case = dict[str, Any]


def check_token_case(name: str, case: Case, tensors: Tensors, folder: Path) -> CaseResult | None:
    """Run a case.

    Args:
        name: Its name.
        case: What to run.
        tensors: What was recorded.
        folder: The folder of the goldens.

    Returns:
        The result; None for a case that is skipped.

    Raises:
        KeyError: If something that belongs to the case is missing.
    """
    if name.endswith(FAULTY):
        return None
    result = CaseResult(name)
    for checks in (DATA_CHECKS, FLOW_CHECKS, TRAINING_CHECKS):
        if check := checks.get(name, checks.get(case["kind"])):
            return result if check(result, case, tensors, folder) else None
    if case["kind"] in WITHOUT_MODEL:
        draws_or_values = WITHOUT_MODEL[case["kind"]]
        return result if draws_or_values(result, case, tensors) else None
    if case["kind"] not in WITH_MODEL:
        return None
    model = _load_model(folder / case["model"])
    WITH_MODEL[case["kind"]](result, case, tensors, model)
    return result


@cache
def _load_model(folder: Path) -> TokenLM:
    return load_token_lm(folder)


# Sampling and losses.


def _check_sampling(result: CaseResult, case: Case, tensors: Tensors) -> bool:
    seeds = case["seeds"]
    history = tensors["history"].tolist()

    def draw(sampling: Sampling) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        none: list[list[int]] = [[]] * len(seeds)
        draws = IdDraws([sampling] * len(seeds), generators, history, none, none)
        return draw_ids(tensors["logp"], [1.0] * len(seeds), draws)

    nucleus = Sampling(top_p=0.8, top_k=25)
    first, final = draw(nucleus), draw(replace(nucleus, window=10))
    result.require("first draws", first.equal(tensors["first_draw"]))
    result.require("tokens", final.equal(tensors["tokens"]))
    return True


def _check_values(result: CaseResult, case: Case, tensors: Tensors) -> bool:
    if result.name != "label_smoothing":
        return False
    log_p = tensors["logits"].log_softmax(-1)
    for settings, value in case["values"].items():
        smoothing, per_target = (one.split("=")[1] for one in settings.split(","))
        ours = label_smoothed_loss(
            log_p, tensors["target"], float(smoothing), per_target == str(True)
        )
        result.compare(settings, ours, torch.tensor(value))
    return True


def _check_loss(result: CaseResult, case: Case, tensors: Tensors, model: TokenLM) -> None:
    model.zero_grad()
    if isinstance(model, SimpleTTSLM):
        _check_joint_loss(result, case, tensors, model)
        return
    samples = _samples(case, tensors, model, tensors["speech_token"], tensors["speech_token_len"])
    output = model(samples)
    output.loss.backward()
    _compare_rows(result, output, tensors)
    result.compare("loss", output.loss.detach(), torch.tensor(case["loss"]))
    result.compare("accuracy", output.accuracy, torch.tensor(case["acc"]))
    if isinstance(model, CosyVoiceLM):
        for sample, theirs in zip(samples, tensors["text_hidden"], strict=True):
            ours = model.text_states(sample.text).detach()
            result.compare("states of text", ours, theirs[: len(ours)])
    norms = {
        published_name(model, name): parameter.grad.norm()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    result.compare_gradients(norms, case["grad_norms"])


def _compare_rows(result: CaseResult, output: TokenOutput, tensors: Tensors) -> None:
    """Compare inputs, states, scores and targets of each sample, without padding."""
    for what, ours, key in (
        ("inputs", output.inputs, "lm_input"),
        ("hidden states", output.hidden, "hidden"),
    ):
        for row, theirs in zip(output.rows(ours), tensors[key], strict=True):
            result.compare(what, row.detach(), theirs[: len(row)])
    for row, theirs in zip(output.rows(output.log_p), tensors["logits"], strict=True):
        result.compare("log-probabilities", row.detach(), theirs[: len(row)].log_softmax(-1))
    for row, theirs in zip(output.rows(output.targets), tensors["lm_target"], strict=True):
        result.require("targets", row.equal(theirs[: len(row)]))
        result.require("length", (theirs[len(row) :] == NO_TARGET).all().item() is True)


def _check_joint_loss(result: CaseResult, case: Case, tensors: Tensors, model: SimpleTTSLM) -> None:
    """A loss over text and speech in one vocabulary."""
    rows = zip(tensors["text"], tensors["text_lens"].tolist(), strict=True)
    texts = [row[:length] for row, length in rows]
    speech, speakers = tensors["codes"], tensors["spk_emb"]
    output = model(
        [
            TokenSample(text, codes, Layout(), {SPEAKER: speaker})
            for text, codes, speaker in zip(texts, speech, speakers, strict=True)
        ]
    )
    for row, theirs in zip(output.rows(output.inputs), tensors["inputs_embeds"], strict=True):
        result.compare("inputs", row.detach(), theirs[: len(row)])
    for row, theirs in zip(output.rows(output.hidden), tensors["logits"], strict=True):
        result.compare("scores", model.joint_scores(row).detach(), theirs[: len(row)])
    # The published loss is shifted twice; this is what it is meant to be.
    result.compare("loss", output.loss.detach(), torch.tensor(case["loss_intended_ce"]))
    result.compare("balance", model.balance_loss().detach(), torch.tensor(case["aux_loss"]))


def _check_preference(result: CaseResult, case: Case, tensors: Tensors, model: TokenLM) -> None:
    for which, key in (("chosen", "speech_token"), ("rejected", "reject_speech_token")):
        samples = _samples(case, tensors, model, tensors[key], tensors[f"{key}_len"])
        with torch.no_grad():
            output = model(samples)
        ours = output.log_likelihoods()
        result.compare(f"log-likelihood of {which}", ours, tensors[f"intended_{which}_logps"])
        if which == "chosen":
            result.compare("loss", output.loss, torch.tensor(case["sft_loss"]))


def _samples(
    case: Case, tensors: Tensors, model: TokenLM, speech: Tensor, num_speech: Tensor
) -> list[TokenSample]:
    samples = []
    for row, length in enumerate(tensors["text_token_len"].tolist()):
        count = int(num_speech[row])
        layout, conditions = Layout(), {}
        if isinstance(model, CosyVoice2LM):  # below 0.5, the draw chooses the streaming layout
            streaming = case.get("bistream_draw", 1.0) < 0.5
            layout = model.training_layout(length, count, streaming)
        else:
            conditions = {SPEAKER: tensors["embedding"][row]}
        text = tensors["text_token"][row, :length]
        samples.append(TokenSample(text, speech[row, :count], layout, conditions))
    return samples


# Generation.


def _check_generation(result: CaseResult, case: Case, tensors: Tensors, model: TokenLM) -> None:
    options = DecodingOptions.of_model(model.config)
    if case["sampling"] == "argmax":
        options = replace(options, temperature=0.0)
    layout = Layout()
    if case["kind"] == "generate_bistream":
        assert isinstance(model, CosyVoice2LM)
        layout = model.streaming_layout
        options = replace(options, max_frames=case["cut_at"])
    prompt_text, text = (tensors[name][0].tolist() for name in ("prompt_text", "text"))
    prompt, embedding = tensors["prompt_speech_token"][0], tensors.get("embedding", torch.empty(0))
    request = Request(
        [*prompt_text, *text, model.config.architecture.eos_token_id],
        prompt if len(prompt) else None,
        prompt_tokens=len(prompt_text),
        conditions={SPEAKER: embedding[0]} if len(embedding) else {},
    )
    log_p: list[Tensor] = []

    def record(_: object, __: object, scores: Tensor) -> None:
        log_p.append(scores[0].log_softmax(-1))

    generator = torch.Generator().manual_seed(case["seed"] or 0)
    hook = model.get_submodule("llm_decoder").register_forward_hook(record)
    try:
        [spoken] = generate(model, [request], generator, options, layout)
    finally:
        hook.remove()
    result.require("tokens", spoken.speech.equal(tensors["tokens"]))
    [ended] = [case[key] for key in ("stopped", "stopped_by_eos", "ended") if key in case]
    result.require("end", spoken.stopped == ended)
    count = min(len(log_p), len(tensors["logp"]))
    result.compare("log-probabilities", torch.stack(log_p[:count]), tensors["logp"][:count])


WITHOUT_MODEL: dict[str, Callable[[CaseResult, Case, Tensors], bool]] = {
    "sampling": _check_sampling,
    "values": _check_values,
}
WITH_MODEL: dict[str, Callable[[CaseResult, Case, Tensors, TokenLM], None]] = {
    "loss": _check_loss,
    "dpo": _check_preference,
    "generate": _check_generation,
    "generate_bistream": _check_generation,
}
