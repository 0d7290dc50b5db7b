"""The whole step of a frame in fixed places of memory, recorded once and replayed.

On a GPU a step of so many small operations takes as long as the processor needs to launch them.
A CUDA graph launches all of them at once, but always on the same memory and for the same numbers
of rows. So steps are filled up to a few sizes, with rows that write to a page which is nobody's.

Shapes: U utterances, B of them after filling up, R rows (B, or 2 B under guidance), T pages of a
row, H hidden width, D latent width, N noise width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sled.decoding.interface import NONE, StepInputs, WriteFrames
from sled.fast.attention import attend_pages
from sled.fast.fused import FusedModel
from sled.fast.paged_cache import SCRATCH, PagedCache
from sled.model.heads.draws import mean_draw
from sled.model.lm import SpeechLlamaForCausalLM

# Makes of some work what does it again, on the same memory.
Record = Callable[[Callable[[], None]], Callable[[], None]]
# Above, sizes are powers of two, and what lies in the middle between two of them.
FINE_SIZES = 16
# Runs before a graph is recorded: kernels are compiled and libraries get their workspaces.
WARM_UPS = 2


def filled_size(count: int) -> int:
    """The size of a step that so many utterances are filled up to."""
    size = 1
    while size < count:
        size *= 2
    between = 3 * size // 4
    return between if between >= max(count, FINE_SIZES) else size


def do_again(work: Callable[[], None]) -> Callable[[], None]:
    """Record nothing: on a processor work is simply done again."""
    return work


class GraphRecorder:
    """Records work as CUDA graphs, without doing it. They share the memory they compute in.

    Args:
        device: Where it is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._pool = device, torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        with torch.cuda.device(self._device):
            return self._record(work)

    def _record(self, work: Callable[[], None]) -> Callable[[], None]:
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                work()
        current.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as the codec's, may go on meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        return graph.replay


class StaticModel(FusedModel):
    """A `FrameModel` that writes frames by `StaticStep`; what else is to be read, it reads plainly.

    Args:
        model: In evaluation mode. It is taken apart, so that its weights are never held twice: do
            not use it any more.
        record: Records a step.
    """

    def __init__(self, model: SpeechLlamaForCausalLM, record: Record) -> None:
        super().__init__(model)
        self._record = record

    def new_cache(self) -> PagedCache:
        """See `sled.decoding.FrameModel`, as for all methods but the last."""
        return PagedCache(self.config.architecture, self.device, self.dtype)

    def new_step(self, cache: PagedCache) -> WriteFrames:
        return StaticStep(self, cache, self._record)

    def write_frames(
        self, cache: PagedCache, ints: Tensor, floats: Tensor, frames: Tensor, most_draws: int
    ) -> tuple[Tensor, Tensor]:
        """The work of a step.

        Args:
            cache: Its rows' past.
            ints: int32 [R, T + 2] each row's pages, its new position, and the token that it reads,
                `NONE` for a frame; rows B, B + 1 ... are the text-free companions.
            floats: [B, N + 3] noise, guidance scale, temperature, number of draws.
            frames: [B, D] that rows without a token read.
            most_draws: The largest number of draws, or more.

        Returns:
            Frames [B, D], and stop probabilities [B].
        """
        tables, positions, tokens = ints[:, :-2], ints[:, -2], ints[:, -1:]
        size = len(frames)
        x = self.embed_latents(frames).repeat(len(ints) // size, 1)
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
            # At 1 there is no companion, and what is in its place can be anything.
            guided = torch.where(cfg == 1, with_text, guided)
        latents = mean_draw(self.draw, guided, temperature * noise, draws, most_draws)
        return latents, self.stop_probability(with_text)


class StaticStep:
    """Writes frames of the rows of a cache; see `sled.decoding.interface.WriteFrames`.

    Args:
        model: Does the work.
        cache: Whose rows these are.
        record: Records it.
    """

    def __init__(self, model: StaticModel, cache: PagedCache, record: Record) -> None:
        self._model, self._cache, self._record = model, cache, record
        self._recorded: dict[tuple[int, bool, int], _Recording] = {}
        self._generation = cache.generation

    def __call__(self, inputs: StepInputs) -> tuple[Tensor, Tensor]:
        cache, exists = self._cache, inputs.rows != NONE
        rows = inputs.rows[exists]
        cache.reserve(rows, cache.lengths[rows] + 1)
        if self._generation != cache.generation:  # the pages are elsewhere now
            self._recorded.clear()
            self._generation = cache.generation
        count, guided = len(inputs.rows), bool(inputs.guided.any())
        # To a power of two: a new number of draws shall not be recorded each time.
        most_draws = 1 << (int(inputs.draws.max()) - 1).bit_length()
        key = (filled_size(count), guided, most_draws)
        recording = self._recorded.get(key)
        if recording is None:
            recording = self._recorded[key] = _Recording(self._model, cache, *key)
        recording.fill(inputs)
        latents, stop_probability = recording.run(self._record)
        cache.lengths[rows] += 1
        return latents[:count].clone(), stop_probability[:count].clone()


class _Recording:
    """A step of one size, and the memory that it reads and writes.

    Args:
        model: Does the work.
        cache: Whose rows these are.
        size: B.
        guided: Whether there are text-free companions.
        most_draws: As many are made for each frame at least.
    """

    def __init__(
        self, model: StaticModel, cache: PagedCache, size: int, guided: bool, most_draws: int
    ) -> None:
        sizes, device = model.config.architecture, model.device
        self._model, self._cache = model, cache
        self._parts, self._most_draws = 2 if guided else 1, most_draws
        ints = torch.zeros(self._parts * size, cache.tables.shape[1] + 2, dtype=torch.int32)
        floats = torch.zeros(size, sizes.noise_channels + 3)
        floats[:, -1] = 1  # what is in the place of nobody shall be finite
        if device.type == "cuda":  # so that copies need not be waited for
            ints, floats = ints.pin_memory(), floats.pin_memory()
        self._host_ints, self._host_floats = ints, floats
        self._ints, self._floats = torch.zeros_like(ints, device=device), floats.to(device)
        self._frames = torch.zeros(size, sizes.vae_embed_dim, device=device, dtype=model.dtype)
        self._outputs = (self._frames, self._floats)
        self._replay: Callable[[], None] | None = None

    def fill(self, inputs: StepInputs) -> None:
        """Put inputs in their places, and let the other rows write to nobody's page."""
        cache, count, size = self._cache, len(inputs.rows), len(self._frames)
        ints, floats = self._host_ints.numpy(), self._host_floats.numpy()
        ints[:, :-2], ints[:, -2], ints[:, -1] = SCRATCH, 0, NONE
        for part in range(self._parts):
            (present,) = np.nonzero(inputs.rows[:, part] != NONE)
            rows = inputs.rows[present, part]
            lines = present + part * size
            ints[lines, :-2] = cache.tables[rows]
            ints[lines, -2] = cache.lengths[rows]
            ints[lines, -1] = inputs.tokens[present, part]
        floats[:count, :-3] = inputs.noise
        floats[:count, -3], floats[:count, -2] = inputs.cfg, inputs.temperature
        floats[:count, -1] = inputs.draws
        self._ints.copy_(self._host_ints, non_blocking=True)
        self._floats.copy_(self._host_floats, non_blocking=True)
        self._frames[:count] = inputs.frames

    def run(self, record: Record) -> tuple[Tensor, Tensor]:
        """Do the work; what it returns is overwritten the next time."""
        if self._replay is None:
            self._replay = record(self._work)
        self._replay()
        return self._outputs

    def _work(self) -> None:
        self._outputs = self._model.write_frames(
            self._cache, self._ints, self._floats, self._frames, self._most_draws
        )
