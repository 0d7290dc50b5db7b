"""Many sessions in one batch: time of a step, share of late frames, and memory of a session."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sled.benchmarks.flags import check_at_least, open_device
from sled.benchmarks.frames import endless
from sled.benchmarks.memory import position_bytes
from sled.benchmarks.models import (
    STREAM_M,
    STREAM_N,
    load_model,
    make_model,
    resolve_dtype,
)
from sled.benchmarks.report import Report, describe_machine, table
from sled.benchmarks.sizes import describe_weights
from sled.codec import Codec
from sled.decoding import Decoder, Request, UtteranceState
from sled.fast.cuda_graph import CudaGraphModel
from sled.fast.fused import FusedLayer
from sled.model.backbone import AttentionContext
from sled.model.interface import FrameModel
from sled.model.layout import Layout
from sled.model.lm import SpeechLM

LAYOUT = Layout(STREAM_N, STREAM_M)
# Number of different positions in their speech that sessions start from.
STARTS = 8
# Sessions join over this many steps, so that their text chunks are due in different steps. These
# steps, and a few after them, are not timed.
JOINING_STEPS, WARM_UP_STEPS = STREAM_M, 10
TEXT_TOKEN = 5


def measure(args: argparse.Namespace) -> Report:
    """Run sessions as the flags say.

    Raises:
        ValueError: For flags that cannot be used.
    """
    check_at_least(args, 1, "batch", "context", "frames", "steps", "threads", "draws")
    device = open_device(args)
    dtype = resolve_dtype(args.size, device, args.dtype)
    model, codec = load_model(args.size, device, dtype, args.threads)
    text = _text_length(args.context + args.frames)
    most = text + args.context + args.frames
    if most > model.config.architecture.max_position_embeddings:
        raise ValueError(
            f"--context {args.context} and --frames {args.frames} take {most} positions with their "
            f"text, the model has {model.config.architecture.max_position_embeddings}: give less"
        )

    settings = (args.batch, args.context, args.frames, args.cfg, args.draws)
    step_ms = _time_steps(Crowd(model, *settings), args.steps)
    idle = IdleModel(make_model("debug", torch.device("cpu"), torch.float32))
    host_ms = _time_steps(Crowd(idle, *settings), args.steps)
    due_ms = 1e3 / codec.frame_rate
    rows = 1 if args.cfg == 1 else 2
    per_position = rows * position_bytes(model.config, dtype)
    mean_positions = args.context + args.frames / 2 + _text_length(args.context + args.frames // 2)
    figures = {
        "step_ms": _percentiles(step_ms),
        "host_ms": _percentiles(host_ms),
        "late_share": float(np.mean(step_ms > due_ms)),
        "callers_per_core": _callers_per_core(args.batch, due_ms, step_ms, device),
        "bytes_per_position": per_position,
        "session_mb": per_position * mean_positions / 1e6,
        "codec_state_mb": _codec_state_bytes(codec) / 1e6,
        "peak_gpu_memory_mb": _peak_gpu_memory_mb(device),
    }
    report = [
        ["", "median", "p99", "maximum"],
        ["a step of all sessions, ms", *_cells(figures["step_ms"])],
        ["  the decoder alone, ms", *_cells(figures["host_ms"])],
        [f"steps over {due_ms:.1f} ms, in which they are heard", f"{figures['late_share']:.2%}"],
        ["keys and values of a position, KB", f"{per_position / 1e3:.1f}"],
        [f"  of a session's mean {mean_positions:.0f}, MB", f"{figures['session_mb']:.1f}"],
        ["the codec's state of a session, MB", f"{figures['codec_state_mb']:.2f}"],
    ]
    if figures["callers_per_core"] is not None:
        report.append(["sessions for which a core has time", f"{figures['callers_per_core']:.1f}"])
    if figures["peak_gpu_memory_mb"] is not None:
        report.append(["peak GPU memory, MB", f"{figures['peak_gpu_memory_mb']:.0f}"])
    described = (
        f"{args.size} size, {describe_weights(args.size)}, {dtype}, cfg {args.cfg:g}, "
        f"draws {args.draws}: "
        f"{args.batch} sessions, each {args.frames} frames after a voice of {args.context}, "
        f"{args.steps} steps; the codec is not run. The decoder alone: with a model that does "
        "nothing.\n"
        f"{table([[*row, *[''] * (4 - len(row))] for row in report])}"
    )
    flags = vars(args) | {"dtype": dtype}
    return Report("sessions", describe_machine(device), flags, figures, described)


class Crowd:
    """Sessions at different positions in their speech; when one ends, another one starts.

    Args:
        model: The model that speaks.
        batch: Number of sessions.
        context: Number of frames of the voice that all use.
        frames: Number of frames that each speaks.
        cfg: Guidance scale.
        draws: Number of draws that each frame is the mean of.
    """

    def __init__(
        self,
        model: FrameModel,
        batch: int,
        context: int,
        frames: int,
        cfg: float,
        draws: int = 1,
    ) -> None:
        self.decoder = Decoder(model)
        self._model, self._frames = model, frames
        self._cfg, self._draws = cfg, draws
        self._text = [TEXT_TOKEN] * _text_length(context + frames)
        spoken = [frames * start // STARTS for start in range(STARTS)]
        states = [self._read(context + more) for more in spoken]
        self._voice, self._seeds = states[0], 0
        self._waiting = []
        for session in range(batch):
            start = session % STARTS
            # Sessions with the same start end in different steps.
            left = frames - spoken[start] - session // STARTS % max(1, frames // STARTS)
            self._waiting.append((states[start], left))
        self._at_a_time = -(-batch // JOINING_STEPS)

    @torch.inference_mode()
    def _read(self, frames: int) -> UtteranceState:
        """Return the state of the model after this many frames and their text."""
        decoder, width = Decoder(self._model), self._model.config.architecture.vae_embed_dim
        recording = 0.1 * torch.randn(frames, width, generator=torch.Generator().manual_seed(0))
        text = self._text[: _text_length(frames)]
        request = Request(text, recording, text_ended=False, prompt_tokens=len(text))
        utterance = decoder.join(request, options=endless(self._cfg, self._draws), layout=LAYOUT)
        decoder.read_ahead()
        return decoder.save(utterance)

    def _join(self, state: UtteranceState, frames: int) -> None:
        generator = torch.Generator().manual_seed(self._seeds)
        self._seeds += 1
        options = endless(self._cfg, self._draws, max_frames=frames)
        utterance = self.decoder.restore(state, options, generator)
        self.decoder.feed(utterance, self._text[len(state.rows[0].token_ids) :], ended=True)

    def step(self) -> None:
        """Generate a frame of each session, and start new sessions for those that end."""
        for _ in range(min(self._at_a_time, len(self._waiting))):
            self._join(*self._waiting.pop())
        step = self.decoder.step()
        assert step is not None
        for _ in range(sum(step.exhausted)):
            self._join(self._voice, self._frames)


class IdleModel(CudaGraphModel):
    """A model whose layers do nothing and whose steps are skipped, to time the decoder alone.

    Args:
        model: As for `CudaGraphModel`; of any size.
    """

    def __init__(self, model: SpeechLM) -> None:
        super().__init__(model, leave_out)

    def _pass(self, x: Tensor, number: int, layer: FusedLayer, cache: AttentionContext) -> Tensor:
        return x


def leave_out(work: Callable[[], None]) -> Callable[[], None]:
    """Do the work once, and skip it when it is replayed."""
    work()
    return lambda: None


def _text_length(frames: int) -> int:
    """Return the number of tokens that the layout reads before this many frames."""
    return int(LAYOUT.tokens_before(frames, float("inf")))


def _time_steps(crowd: Crowd, count: int) -> np.ndarray:
    """Return the milliseconds of each step."""
    for _ in range(JOINING_STEPS + WARM_UP_STEPS):
        crowd.step()
    times = [time.perf_counter()]
    for _ in range(count):
        crowd.step()
        times.append(time.perf_counter())
    return 1e3 * np.diff(times)


def _percentiles(values: np.ndarray) -> dict[str, float]:
    median, p99 = np.percentile(values, [50, 99]).tolist()
    return {"median": median, "p99": p99, "most": float(values.max())}


def _callers_per_core(
    batch: int, due_ms: float, step_ms: np.ndarray, device: torch.device
) -> float | None:
    """Return how many sessions each of torch's threads carries in real time; None on a GPU."""
    if device.type != "cpu":
        return None
    return batch * due_ms / float(np.median(step_ms)) / torch.get_num_threads()


def _cells(figures: Any) -> list[str]:
    return [f"{value:.2f}" for value in figures.values()]


def _codec_state_bytes(codec: Codec) -> int:
    """Return the bytes of the state of a stream that has started."""
    stream = codec.stream_decoder()
    stream.decode(torch.zeros(1, stream.lookahead_frames + 1, *codec.unit_shape))
    assert stream.state.started
    return sum(_bytes(tensor) for tensor in stream.state.tensors())


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _peak_gpu_memory_mb(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None
