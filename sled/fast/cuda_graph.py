"""One decoding step captured as a CUDA graph.

On a GPU, the time of a step with many small operations is the time that the CPU takes to launch
them. A CUDA graph launches them all at once, but always on the same memory and for the same number
of rows. Steps are therefore padded to a few sizes. Padding rows write to a scratch page.

Shapes: B utterances, S utterances after padding, R rows (S, or 2 S with guidance), T pages per
row, H hidden width, N noise width; `...` is the shape of a unit.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from sled.fast.attention import attend_pages
from sled.fast.fused import FusedModel
from sled.fast.paged_cache import SCRATCH, PagedCache
from sled.model.heads.draws import mean_draw
from sled.model.interface import NONE, StepInputs
from sled.model.lm import SpeechLM

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Turns work into a function that repeats it on the same memory."""

# Sizes are powers of two and, from this number on, also the numbers half-way between them.
FINE_SIZES = 16
# Runs before the capture, in which kernels are compiled and libraries allocate workspaces.
WARM_UPS = 2


def padded_size(count: int) -> int:
    """Return the size to which a step of `count` utterances is padded."""
    size = 1
    while size < count:
        size *= 2
    between = 3 * size // 4
    return between if between >= max(count, FINE_SIZES) else size


def repeat_eagerly(work: Callable[[], None]) -> Callable[[], None]:
    """Return the work itself: a `Capture` for CPUs, which runs the work anew each time."""
    return work


class GraphCapture:
    """A `Capture` that makes CUDA graphs. Those that exist at the same time share memory.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        # One for all captures: torch has 32 streams and gives them out again after that, so a new
        # one could be a stream that another thread works on.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # untyped
        self._graphs: WeakSet[torch.cuda.CUDAGraph] = WeakSet()

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that repeats the work."""
        with torch.cuda.device(self._stream.device):
            return self._capture(work)

    def _capture(self, work: Callable[[], None]) -> Callable[[], None]:
        current, side = torch.cuda.current_stream(), self._stream
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                work()
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Of a graph that still exists: torch refuses a pool whose graphs are all gone.
        pool = next((one.pool() for one in self._graphs), None)
        # "thread_local": other threads, such as the codec's, may use the GPU during the capture.
        mode = "thread_local"
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode=mode):
            work()
        self._graphs.add(graph)
        return graph.replay


class CudaGraphModel(FusedModel):
    """A `FrameModel` with captured steps over a paged cache. Prompts are processed eagerly.

    Args:
        model: The model to convert, in evaluation mode. Its weights are moved: do not use it any
            more.
        capture: Captures a step.
    """

    shows_attention = False

    def __init__(self, model: SpeechLM, capture: Capture) -> None:
        super().__init__(model)
        self._capture = capture

    @override
    def new_cache(self) -> PagedCache:
        return PagedCache(self.config.architecture, self.device, self.dtype)

    @override
    def step(self, inputs: StepInputs, cache: PagedCache) -> tuple[Tensor, Tensor]:
        batch = inputs.batch
        rows = batch.rows[batch.rows != NONE]
        cache.reserve(rows, cache.lengths[rows] + 1)
        count, guided = len(batch.rows), bool(batch.guided.any())
        # Rounded up to a power of two, so that few numbers of draws are captured.
        most_draws = 1 << (int(batch.draws.max()) - 1).bit_length()
        key = (padded_size(count), guided, most_draws)
        captured: _CapturedStep | None = cache.captured.get(key)
        if captured is None:
            captured = cache.captured[key] = _CapturedStep(self, cache, *key)
        captured.fill(inputs, cache)
        units, stop_probability = captured.run(cache, self._capture)
        cache.lengths[rows] += 1
        return units[:count].clone(), stop_probability[:count].clone()

    def compute_step(
        self, cache: PagedCache, ints: Tensor, floats: Tensor, units: Tensor, most_draws: int
    ) -> tuple[Tensor, Tensor]:
        """Compute a step on tensors only, as a capture requires.

        Args:
            cache: Keys and values of the rows.
            ints: int32 [R, T + 2] the pages of each row, its new position, and the token that it
                reads (`NONE` for a unit). Rows from S on are the rows without text.
            floats: [S, N + 3] noise, guidance scale, temperature, number of draws.
            units: [S, ...] the units that rows without a token read.
            most_draws: The largest number of draws, or more.

        Returns:
            Units [S, ...] and stop probabilities [S].
        """
        tables, positions, tokens = ints[:, :-2], ints[:, -2], ints[:, -1:]
        size = len(units)
        x = self.embed_units(units).repeat(len(ints) // size, 1)
        x = torch.where(tokens == NONE, x, self.embed_text(tokens.squeeze(1).clamp(min=0)))
        for layer, pages in zip(self._layers, cache.pages, strict=True):
            qkv = F.linear(F.rms_norm(x, self._shape, layer.attention_norm, self._eps), layer.qkv)
            attended = attend_pages(qkv, self._heads, pages, tables, positions, cache.rotary)
            x = self._feed_forward(x + F.linear(attended, layer.out), layer)
        hidden = F.rms_norm(x, self._shape, self._final_norm, self._eps)
        with_text, noise = hidden[:size], floats[:, :-3]
        cfg, temperature, draws = floats[:, -3:-2], floats[:, -2:-1], floats[:, -1]
        guided = with_text
        if len(hidden) > size:
            text_free = hidden[size:]
            guided = text_free + cfg.to(x.dtype) * (with_text - text_free)
            # An utterance without guidance has no row without text: its values are arbitrary.
            guided = torch.where(cfg == 1, with_text, guided)
        drawn = mean_draw(self.draw, guided, temperature * noise, draws, most_draws)
        return drawn, self.stop_probability(with_text)


class _CapturedStep:
    """A captured step of one size, with the memory that it reads and writes.

    It holds no reference to the cache, which holds the step.

    Args:
        model: The model that computes the step.
        cache: The cache of its rows.
        size: S, the number of utterances after padding.
        guided: Whether there are rows without text.
        most_draws: Number of draws computed for each unit.
    """

    def __init__(
        self, model: CudaGraphModel, cache: PagedCache, size: int, guided: bool, most_draws: int
    ) -> None:
        device = model.device
        self._columns = 2 if guided else 1
        ints = torch.zeros(self._columns * size, cache.tables.shape[1] + 2, dtype=torch.int32)
        floats = torch.zeros(size, model.noise_width + 3)
        floats[:, -1] = 1  # a number of draws that keeps unused rows finite
        if device.type == "cuda":  # so that copies are asynchronous
            ints, floats = ints.pin_memory(), floats.pin_memory()
        self._host_ints, self._host_floats = ints, floats
        self._ints, self._floats = torch.zeros_like(ints, device=device), floats.to(device)
        self._units = torch.zeros(size, *model.unit_shape, device=device, dtype=model.unit_dtype)
        self._outputs = (self._units, self._floats)
        self._replay: Callable[[], None] | None = None
        self._model, self._most_draws = model, most_draws

    def fill(self, inputs: StepInputs, cache: PagedCache) -> None:
        """Copy inputs into the step's memory; padding rows write to the scratch page."""
        batch = inputs.batch
        count = len(batch.rows)
        size = len(self._units)
        ints, floats = self._host_ints.numpy(), self._host_floats.numpy()
        ints[:, :-2], ints[:, -2], ints[:, -1] = SCRATCH, 0, NONE
        for column in range(self._columns):
            (present,) = np.nonzero(batch.rows[:, column] != NONE)
            rows = batch.rows[present, column]
            lines = present + column * size
            ints[lines, :-2] = cache.tables[rows]
            ints[lines, -2] = cache.lengths[rows]
            ints[lines, -1] = inputs.tokens[present, column]
        floats[:count, :-3] = inputs.noise
        floats[:count, -3], floats[:count, -2] = batch.cfg, batch.temperature
        floats[:count, -1] = batch.draws
        self._ints.copy_(self._host_ints, non_blocking=True)
        self._floats.copy_(self._host_floats, non_blocking=True)
        self._units[:count] = inputs.units

    def run(self, cache: PagedCache, capture: Capture) -> tuple[Tensor, Tensor]:
        """Run the step and return units and stop probabilities, which the next run overwrites."""
        if self._replay is None:
            self._replay = capture(lambda: self._compute(cache))
        self._replay()
        return self._outputs

    def _compute(self, cache: PagedCache) -> None:
        self._outputs = self._model.compute_step(
            cache, self._ints, self._floats, self._units, self._most_draws
        )
