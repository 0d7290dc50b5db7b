"""Agreement with recorded outputs of another implementation ("goldens").

A folder of goldens contains checkpoints `offline/` and `stream/`, a small `codec/`, and recorded
cases: `cases.json` (what to run) and `cases.safetensors` (inputs and outputs). Goldens of
speech-token models have no codec, see `sled.evaluation.token_goldens`. Everything is checked on the
CPU in float32; generated frames use the recorded seed of the noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sled.codec import Codec, load_codec
from sled.data.dataset import length_mask
from sled.decoding import DecodingOptions, Generated, Request, generate
from sled.evaluation.cases import CaseResult
from sled.evaluation.token_goldens import check_token_case
from sled.files.json_object import read_json_object
from sled.model.config import Config
from sled.model.lm import SpeechLM
from sled.model.registry import load_speech_lm
from sled.training.objectives import corrupt_inputs

NEVER = 2.0  # a stop threshold that no probability reaches


def check_goldens(folder: Path) -> Iterator[CaseResult]:
    """Run every case of a folder of goldens.

    Yields:
        The results. A case that is skipped has nothing compared.

    Raises:
        ValueError: If the folder does not have this form.
    """
    try:
        cases = read_json_object(folder / "cases.json")["cases"]
        tensors = load_file(folder / "cases.safetensors")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"{folder} has no goldens ({error}): expected cases.json, cases.safetensors and the "
            "folders of models"
        ) from error
    if not any("mode" in case for case in cases.values()):
        yield from _check_token_goldens(folder, cases, tensors)
        return
    codec = load_codec(folder / "codec")
    runners = {"generate": _check_generation, "loss": _check_loss}
    for name, case in cases.items():
        if case["kind"] not in runners:
            raise ValueError(f"{folder}: case {name} is of unknown kind {case['kind']!r}")
        own = _tensors_of(name, tensors)
        try:
            result = runners[case["kind"]](name, case, own, folder / case["mode"], codec)
        except KeyError as error:
            raise ValueError(f"{folder}: case {name} lacks {error}: record it again") from error
        yield result
    result = CaseResult("codec_decode")
    decoded = codec.decode(tensors["codec.decode_in"].transpose(1, 2))
    result.compare("audio", decoded, tensors["codec.decode_out"].squeeze(1))
    yield result


def _check_token_goldens(
    folder: Path, cases: dict[str, Any], tensors: dict[str, Tensor]
) -> Iterator[CaseResult]:
    for name, case in cases.items():
        try:
            result = check_token_case(name, case, _tensors_of(name, tensors), folder)
        except KeyError as error:
            raise ValueError(f"{folder}: case {name} lacks {error}: record it again") from error
        yield result or CaseResult(name, skipped=True)


def _tensors_of(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@cache
def _load_model(folder: Path) -> SpeechLM:
    """Load a checkpoint with dropout switched off, also in training mode."""
    config = Config.load(folder)
    objective = config.objective
    objective.dropout = objective.attention_dropout = objective.activation_dropout = 0.0
    return load_speech_lm(folder, config=config)


def _check_generation(
    name: str, case: dict[str, Any], tensors: dict[str, Tensor], folder: Path, codec: Codec
) -> CaseResult:
    result = CaseResult(name)
    model = _load_model(folder).eval()
    texts = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(tensors["input_ids"], tensors["attention_mask"], strict=True)
    ]
    prompts: Any = tensors.get("prompt_latents", [None] * len(texts))
    options = DecodingOptions(
        cfg=case["cfg"],
        stop_threshold=NEVER if case["eos_disabled"] else case["eos_threshold"],
        max_frames=case["frames"] - case["prompt_frames"],
        stop_before_text_end=True,  # as the published implementation does
    )
    spoken = generate(
        model,
        [Request(text, prompt) for text, prompt in zip(texts, prompts, strict=True)],
        torch.Generator().manual_seed(case["noise_seed"]),
        options,
    )
    for row, generated in enumerate(spoken):
        start = case["prompt_frames"]
        stop = start + len(generated.units)
        # Rows that stopped are padded in a batch; a lone row must match to its end.
        end = stop if len(spoken) > 1 else None
        result.compare("latents", generated.units, tensors["latents"][row, start:end])
        theirs = tensors["tokens"][row]
        if case["mode"] == "offline":  # the published offline tokens repeat the text first
            num_tokens = tensors["input_ids"].shape[1]
            text, theirs = theirs[:num_tokens], theirs[num_tokens:]
            result.require("text tokens", text.equal(tensors["input_ids"][row]))
        sizes = model.config.architecture
        assert sizes.bos_token_id is not None
        ours = _tokens(generated, sizes.bos_token_id, sizes.eos_token_id)
        result.require("tokens", ours.equal(theirs[: len(ours)] if len(spoken) > 1 else theirs))
    return result


def _tokens(generated: Generated, go_on: int, stop: int) -> Tensor:
    """Return the published tokens of a row: one per frame, the last one is `stop` if it ended."""
    tokens = torch.full((len(generated.units),), go_on)
    if generated.stopped:
        tokens[-1] = stop
    return tokens


def _check_loss(
    name: str, case: dict[str, Any], tensors: dict[str, Tensor], folder: Path, codec: Codec
) -> CaseResult:
    result = CaseResult(name)
    num_samples = tensors["padding_mask"].sum(1).tolist()
    waveforms = [w[0, :n] for w, n in zip(tensors["input_values"], num_samples, strict=True)]
    latents = tensors["codec_latents"]
    for row, codes in enumerate(codec.encode(waveforms)):
        num_frames = codes.shape[-1]
        result.require("codes", codes.equal(tensors["codes"][row, :, :num_frames]))
        ours = codec.codes_to_units(codes)
        result.compare("codec latents", ours, latents[row, :num_frames])

    model = _load_model(folder).train()
    model.config.objective.training_cfg = case["training_cfg"]
    model.zero_grad()
    torch.manual_seed(case["noise_seed"])
    output = model(
        input_ids=tensors["input_ids"],
        attention_mask=tensors["attention_mask"],
        units=latents,
        frame_mask=length_mask(torch.tensor([codec.num_frames(n) for n in num_samples])),
        corruption=corrupt_inputs,
    )
    output.loss.backward()
    result.compare("loss", output.loss.detach(), tensors["loss"].squeeze())
    # A dropped text leaves only `</s>`; the recorded run kept dead positions in front of it.
    rows = output.hidden_states.detach().split(output.lengths)
    for ours, theirs in zip(rows, tensors["hidden"], strict=True):
        first = len(theirs) - len(ours) if case["training_cfg"] >= 1 else 0
        result.compare("hidden states", ours, theirs[first : first + len(ours)])
    norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    result.compare_gradients(norms, case["grad_norms"])
    return result
