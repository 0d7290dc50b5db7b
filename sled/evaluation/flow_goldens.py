"""Agreement with recordings of flows and vocoders: speech tokens to mel frames to sound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from sled.codec.flow.attention import chunk_mask
from sled.codec.flow.base import Flow, FlowBatch, FlowPrompt, fixed_noise, length_mask
from sled.codec.flow.cosyvoice import CosyVoiceFlow, FlowCache
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.estimator import FlowInputs
from sled.codec.flow.files import load_flow
from sled.codec.flow.matching import FlowDraws, SolverOptions
from sled.codec.flow.simpletts import RectifiedDraws, SimpleTTSFlow
from sled.codec.flow.step import StepFlow
from sled.codec.flow.stream import FlowState, FlowStream
from sled.codec.memory import Memory
from sled.codec.vocoder.files import load_vocoder
from sled.codec.vocoder.hift import HiFT
from sled.evaluation.cases import CaseResult
from sled.training.vocoder import losses

Tensors = dict[str, Tensor]
Case = dict[str, Any]

PUBLISHED = SolverOptions()
_DROP_RATE = 0.2


@cache
def _load_flow(folder: Path) -> Flow:
    flow = load_flow(folder)
    assert isinstance(flow, Flow)
    return flow


@cache
def _load_vocoder(folder: Path) -> HiFT:
    vocoder = load_vocoder(folder)
    assert isinstance(vocoder, HiFT)
    return vocoder


# Training.


def _check_loss(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow, streaming = _load_flow(folder / case["model"]), case.get("streaming", False)
    batch = FlowBatch(
        tensors["speech_token"],
        tensors["speech_token_len"],
        tensors["speech_feat"].mT,
        tensors["speech_feat_len"],
        tensors["embedding"],
    )
    prompt_frames = torch.tensor(case["condition_lengths"])
    flow.zero_grad()
    inputs, mask = flow.batch_inputs(batch, prompt_frames, streaming)
    mu = inputs.mu.detach()
    result.compare("mu", mu.mT if isinstance(flow, CosyVoiceFlow) else mu, tensors["mu"])
    result.compare("speaker", inputs.speaker.detach(), tensors["spks"])
    result.compare("prompt", inputs.prompt, tensors["cond"])
    torch.manual_seed(case["seed"])
    draws = FlowDraws.draw(batch.mel, _DROP_RATE)
    loss = flow.matching_loss(batch.mel, mask, inputs, draws, streaming)
    loss.backward()  # type: ignore[no-untyped-call]
    result.compare("loss", loss.detach(), torch.tensor(case["loss"]))
    norms = {name: one.grad.norm() for name, one in flow.named_parameters() if one.grad is not None}
    result.compare_gradients(norms, case["grad_norms"])
    return True


@torch.no_grad()
def _check_matching(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow, mel = _load_flow(folder / case["model"]), tensors["x1"]
    torch.manual_seed(case["seed"])
    draws = FlowDraws.draw(mel, _DROP_RATE)
    result.compare("times", draws.time, tensors["t"].flatten())
    result.compare("noise", draws.noise, tensors["z"])
    result.require("rows with conditions", draws.keep.equal(tensors["keep"] > 0))
    mask = tensors["mask"].float()
    loss = flow.matching_loss(mel, mask, _inputs(tensors), draws, case["streaming"])
    result.compare("loss", loss, torch.tensor(case["loss"]))
    return True


@torch.no_grad()
def _check_rectified(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow = load_flow(folder / case["model"])
    assert isinstance(flow, SimpleTTSFlow)
    mel, lengths = tensors["mels"].mT, tensors["mels_lens"]
    torch.manual_seed(case["seed"])
    draws = RectifiedDraws.draw(mel, torch.tensor(case["keep_frames"]))
    result.compare("times", draws.time, tensors["t"])
    result.compare("noise", draws.noise.mT, tensors["noise"])
    result.compare("time embedding", flow.t_embedder(draws.time), tensors["time_embedding"])
    noisy = draws.noisy(mel)
    inputs = flow.frame_inputs(tensors["codes"], tensors["spk_emb"], noisy, draws.given)
    velocity = flow.velocity(inputs, draws.time)
    for row, frames in enumerate(lengths.tolist()):
        result.compare("inputs", inputs[row, :frames], tensors["mlp_input"][row, :frames])
        result.compare("velocity", velocity.mT[row, :frames], tensors["pred"][row, :frames])
    tokens = torch.full_like(lengths, tensors["codes"].shape[1])
    batch = FlowBatch(tensors["codes"], tokens, mel, lengths, tensors["spk_emb"])
    loss = flow.loss(batch, draws=draws)
    # The published loss is divided by the padded length instead of the mel bands.
    published = loss * mel.shape[1] / mel.shape[2]
    result.compare("loss", published, torch.tensor(case["loss"]))
    return True


# Solving.


@torch.no_grad()
def _check_estimator(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow = _load_flow(folder / case["model"])
    arguments = tensors["x"], tensors["t"], _inputs(tensors), tensors["mask"].float()
    result.compare("velocity", flow.estimate(*arguments), tensors["out"])
    if "out_streaming" in tensors:
        result.compare("streaming", flow.estimate(*arguments, True), tensors["out_streaming"])
    return True


@torch.no_grad()
def _check_solution(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    options = SolverOptions(steps=case["steps"], guidance=case["cfg"])
    result.compare("times", torch.tensor(options.times()), tensors["t_span"])
    flow = _load_flow(folder / case["model"])
    mel = flow.solve(tensors["z"], _inputs(tensors), options)
    result.compare("mel", mel, tensors["out"])
    return True


@torch.no_grad()
def _check_encoder(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow, x = _load_flow(folder / case["model"]), tensors["xs"]
    assert isinstance(flow, CosyVoice2Flow)
    encoder, chunk = flow.encoder, flow.chunk
    valid = length_mask(torch.tensor([x.shape[1]]), x.shape[1])
    result.compare("streaming", encoder.encode(x, valid, chunk), tensors["out_streaming"])
    result.compare("whole", encoder.encode(x, valid, 0), tensors["out"])
    first, later = x[:, :chunk], x[:, chunk : chunk + flow.lookahead]
    start = torch.zeros(1, dtype=torch.long)
    states = encoder.step(first, later, start, Memory(), Memory())
    result.compare("first chunk", states, tensors["out_first_chunk"])
    return True


def _check_inference(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow = _load_flow(folder / case["model"])
    tokens, speaker, prompt = _spoken(tensors)
    if isinstance(flow, CosyVoiceFlow):
        _check_whole(result, case, tensors, flow)
    elif isinstance(flow, CosyVoice2Flow):
        offline = flow.generate(tokens, speaker, prompt, PUBLISHED)
        result.compare("mel offline", offline, tensors["mel_offline"])
        whole = flow.generate(tokens, speaker, prompt, PUBLISHED, streaming=True)
        result.compare("mel streaming", whole, tensors["mel_streaming_whole"])
        ends = [end for _, end, _ in case["chunk_calls"]]
        pieces = tokens.tensor_split(ends[:-1], 1)
        streamed = _stream(FlowStream(flow, PUBLISHED), flow, pieces, speaker, prompt)
        result.compare("mel in chunks", streamed, tensors["mel_chunks"])
    elif isinstance(flow, StepFlow):
        noise = tensors["rand_noise"][0]
        mel = flow.generate(tokens, speaker, prompt, PUBLISHED, noise=noise)
        result.compare("mel", mel, tensors["mel"])
    return True


def _check_whole(result: CaseResult, case: Case, tensors: Tensors, flow: CosyVoiceFlow) -> None:
    tokens, speaker, prompt = _spoken(tensors)
    recorded, noise = tensors.get("cache_in"), tensors["z"]
    before = None if recorded is None else FlowCache(recorded[..., 0], recorded[..., 1])
    if before is None:
        torch.manual_seed(case["seed"])
        noise = torch.randn_like(tensors["mu"])
        result.compare("noise", noise, tensors["z"])
    mel, after = flow.generate(tokens, speaker, prompt, PUBLISHED, noise, before)
    result.compare("mel", mel, tensors["mel"])
    result.compare("cache", torch.stack((after.noise, after.mu), -1), tensors["cache_out"])


def _check_stream(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    flow = _load_flow(folder / case["model"])
    assert isinstance(flow, StepFlow)
    tokens, speaker, prompt = _spoken(tensors)
    calls = case["chunk_calls"]
    chunk = calls[1][0] - calls[0][0]
    sizes, flow.sizes = flow.sizes, replace(flow.sizes, chunk_sizes=(chunk,))
    try:
        pieces = tokens.tensor_split([end for _, end, _ in calls[:-1]], 1)
        with safe_open(folder / "cases.safetensors", "pt") as file:  # the same in both cases
            noise = file.get_tensor("step_flow_infer.rand_noise")[0]
        stream = FlowStream(flow, PUBLISHED, noise=noise)
        result.compare("mel", _stream(stream, flow, pieces, speaker, prompt), tensors["mel"])
    finally:
        flow.sizes = sizes
    return True


@torch.no_grad()
def _stream(
    stream: FlowStream,
    flow: CosyVoice2Flow | StepFlow,
    pieces: tuple[Tensor, ...],
    speaker: Tensor,
    prompt: FlowPrompt,
) -> Tensor:
    state, mels = FlowState.new(flow, prompt), []
    for number, piece in enumerate(pieces, 1):
        mel, state = stream.feed(state, piece, speaker, last=number == len(pieces))
        mels.append(mel)
    return torch.cat(mels, -1)


def _inputs(tensors: Tensors) -> FlowInputs:
    return FlowInputs(tensors["mu"], tensors["spks"], tensors["cond"])


def _spoken(tensors: Tensors) -> tuple[Tensor, Tensor, FlowPrompt]:
    """Tokens, speaker vectors and prompts."""
    prompt = FlowPrompt(tensors["prompt_token"], tensors["prompt_feat"].mT)
    return tensors["token"], tensors["embedding"], prompt


def _check_masks(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    valid = length_mask(torch.tensor(case["lengths"]), max(case["lengths"]))
    for name, theirs in tensors.items():
        ours = chunk_mask(valid, int(name.removeprefix("chunk")) if name != "full" else 0)
        result.require(name, ours.equal((theirs > 0).expand_as(ours)))
    return True


def _check_noise(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    [first] = tensors["first"]
    result.compare("noise", fixed_noise(len(first))[:, : first.shape[-1]], first)
    return True


# Vocoders.


@torch.no_grad()
def _check_vocoder(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    vocoder, mel = _load_vocoder(folder / case["model"]), tensors["mel"]
    whole = Memory.of_whole()
    waveform = vocoder.decode(mel, tensors["source"], whole)
    result.compare("waveform of the source", waveform, tensors["wav"])
    result.compare("frequencies", vocoder.f0_predictor.step(mel, whole), tensors["f0"])
    phase = tensors["initial_phase_draw"].flatten(1).clone()
    phase[:, 0] = 0
    source = vocoder.source(tensors["f0"], whole, phase, tensors["noise"])
    result.compare("source", source, tensors["source"])
    waveform, _ = vocoder(mel, phase, tensors["noise"])
    result.compare("waveform", waveform, tensors["wav"])
    newest = mel[..., -tensors["source_cached"].shape[-1] // vocoder.hop_length :]
    waveform = vocoder.decode(newest, tensors["source_cached"], whole)
    result.compare("waveform of the newest frames", waveform, tensors["wav_cached"])
    return True


@torch.no_grad()
def _check_vocoder_training(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    vocoder, mel = _load_vocoder(folder / case["model"]), tensors["speech_feat"].mT
    rows, count, samples = len(mel), vocoder.num_harmonics, mel.shape[-1] * vocoder.hop_length
    torch.manual_seed(case["seed"])
    phase = math.pi * (2 * torch.rand(rows, count) - 1)
    phase[:, 0] = 0
    noise = torch.empty(rows, count, samples)
    if vocoder.sizes.sinegen == "1":
        noise.normal_()
    else:  # drawn for a transposed tensor, which torch fills in another way
        noise.mT.normal_()
    waveform, f0 = vocoder(mel, phase, noise)
    result.compare("frequencies", f0, tensors["f0"])
    result.compare("waveform", waveform, tensors["wav"])
    return True


def _check_gan_losses(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    real, fake = (
        [[tensors[f"{kind}{number}"]] for number in range(2)] for kind in ("real", "fake")
    )
    features = ([list(one) for one in tensors[f"feat_{kind}"]] for kind in ("real", "fake"))
    for name, ours in {
        "generator": losses.adversarial_loss(fake),
        "discriminator": losses.discriminator_loss(real, fake),
        "feature": losses.feature_loss(*features),
        "tpr_generator": losses.relativistic_loss(fake, real),
        "tpr_discriminator": losses.relativistic_loss(real, fake),
    }.items():
        result.compare(name, ours, torch.tensor(case[name]))
    return True


FLOW_CHECKS: dict[str, Callable[[CaseResult, Case, Tensors, Path], bool]] = {
    "flow_loss": _check_loss,
    "cfm_loss": _check_matching,
    "rectified_flow": _check_rectified,
    "estimator": _check_estimator,
    "euler": _check_solution,
    "encoder": _check_encoder,
    "flow_inference": _check_inference,
    "flow_stream": _check_stream,
    "mask": _check_masks,
    "flow_v2_rand_noise": _check_noise,
    "gan_losses": _check_gan_losses,
    "vocoder": _check_vocoder,
    "vocoder_train": _check_vocoder_training,
}
"""By the kind of a case, or by its name; each returns whether it could run the case."""
