"""The model in compiled kernels. A step is a few calls; no Python runs between the layers.

Shapes: R rows of a call, Q new inputs per row, P new inputs of all rows, H hidden width, U
utterances, V draws of all of them, N noise width, D latent width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from sled.fast.base import FastModel
from sled.fast.int4 import Int4Matrix
from sled.fast.native.cache import NativeCache
from sled.fast.native.library import Kernels, open_library
from sled.fast.native.weights import BYTES, FLOAT, HALF, LANES, LARGEST_HEAD, PackedModel
from sled.files.digest import tensor_digest
from sled.model.config import Architecture
from sled.model.heads.draws import noise_variants
from sled.model.interface import NONE, RowOrder, StepInputs
from sled.model.lm import SpeechLM

# From so many positions on, a call is worth several threads even if the model is small.
LONG_CALL = 16
CACHE_KINDS = {torch.float32: FLOAT, torch.float16: HALF, torch.int8: BYTES}


def can_run(sizes: Architecture) -> bool:
    """Whether there are kernels for this CPU, and they can run a model of these sizes."""
    widths = (sizes.hidden_size, sizes.diffloss_w, sizes.head_dim)
    return (
        sizes.head == "energy"
        and sizes.head_dim <= LARGEST_HEAD
        and not any(width % LANES for width in widths)
        and open_library() is not None
    )


class NativeModel(FastModel):
    """A `FrameModel` on the CPU. Embeddings and hidden states are float32.

    A call computes with as many threads as torch would, or with all of its own if it is long.

    Args:
        model: The model to convert, in evaluation mode, on the CPU. Its weights are moved, to hold
            them only once: do not use it any more.
        bits: Bits of a matrix weight: 8, or 32; matrices that are the same in float16 are then
            held in that.
        threads: Most threads. None: as many as torch uses.
        cache_dtype: Type of keys and values: float32, float16 or int8; fewer bytes are read sooner.
            None: float32 with 32 bits, int8 with 8.
        level: The instructions to use, see `open_library`.
        int4: The matrices of the layers in four bits, as `read_int4` returns them. None: they have
            as many bits as the others.
    """

    def __init__(
        self,
        model: SpeechLM,
        bits: int,
        threads: int | None = None,
        cache_dtype: torch.dtype | None = None,
        level: str | None = None,
        int4: Mapping[str, Int4Matrix] | None = None,
    ) -> None:
        super().__init__(model, torch.float32, None if bits == 32 else torch.float16)
        library = open_library(level)
        assert library is not None and can_run(self.config.architecture)
        self._cache_dtype = cache_dtype or (torch.float32 if bits == 32 else torch.int8)
        self._packed = PackedModel(model, bits, CACHE_KINDS[self._cache_dtype], int4)
        self._threads = threads or torch.get_num_threads()
        self._kernels = Kernels(library, self._packed.structure, self._threads)

    @override
    def digest(self) -> str:
        packed = [(str(number), one) for number, one in enumerate(self._packed.tensors)]
        return tensor_digest(self.tensors() + packed)

    @override
    def new_cache(self) -> NativeCache:
        return NativeCache(self.config.architecture, self._cache_dtype)

    def _threads_for(self, positions: int) -> int:
        """Threads for a call: all if it is long, as before the first sound, else as torch."""
        return self._threads if positions >= LONG_CALL else torch.get_num_threads()

    @override
    def embed_units(self, units: Tensor) -> Tensor:
        flat = units.float().contiguous()
        embedded = torch.empty(*units.shape[:-1], self.config.architecture.hidden_size)
        count = embedded.numel() // embedded.shape[-1]
        self._kernels.call("embed", flat.data_ptr(), count, embedded.data_ptr())
        return embedded

    @override
    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: NativeCache
    ) -> Tensor:
        lengths = np.array(counts)
        real = np.arange(embeddings.shape[1]) < lengths[:, None]  # [R, Q]
        inputs = embeddings if real.all() else embeddings[torch.from_numpy(real)]
        held = np.array([cache.lengths[row] for row in rows])
        positions = (held[:, None] + np.arange(embeddings.shape[1]))[real]
        owners = np.repeat(np.array(rows), counts)
        hidden = self._read(inputs, owners, positions, np.cumsum(lengths) - 1, cache)
        for row, count in zip(rows, counts, strict=True):
            cache.lengths[row] += count
        return hidden

    def _read(
        self,
        inputs: Tensor,
        rows: np.ndarray,
        positions: np.ndarray,
        last: np.ndarray,
        cache: NativeCache,
    ) -> Tensor:
        """Read inputs [P, H] at positions [P] of rows [P]; return the states [R, H] of some."""
        if (longest := int(positions.max()) + 1) > self.config.architecture.max_position_embeddings:
            raise ValueError(
                f"a row has {longest} positions, and the model "
                f"{self.config.architecture.max_position_embeddings}: give less text or frames"
            )
        for row, position in zip(rows[last].tolist(), positions[last].tolist(), strict=True):
            cache.reserve(row, position + 1)
        numbers = [np.ascontiguousarray(one, np.int32) for one in (rows, positions, last)]
        inputs = inputs.float().contiguous()
        hidden = torch.empty(len(last), self.config.architecture.hidden_size)
        self._kernels.call(
            "advance",
            self._threads_for(len(positions)),
            inputs.data_ptr(),
            len(positions),
            *(one.ctypes.data for one in numbers),
            len(last),
            cache.address,
            hidden.data_ptr(),
        )
        return hidden

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        owner = np.arange(len(hidden), dtype=np.int32)
        return self._draw_means(hidden, noise, owner, np.ones(len(hidden), np.float32))

    def _draw_means(
        self, hidden: Tensor, noise: Tensor, owner: np.ndarray, weight: np.ndarray
    ) -> Tensor:
        """Weighted sums [U, D] of draws with noise [V, N], which belong to utterances [V]."""
        hidden, noise = hidden.float().contiguous(), noise.float().contiguous()
        latents = torch.empty(len(hidden), self.config.architecture.vae_embed_dim)
        self._kernels.call(
            "draw",
            self._threads_for(len(noise)),
            hidden.data_ptr(),
            len(hidden),
            noise.data_ptr(),
            len(noise),
            owner.ctypes.data,
            weight.ctypes.data,
            latents.data_ptr(),
        )
        return latents

    @override
    def step(self, inputs: StepInputs, cache: NativeCache) -> tuple[Tensor, Tensor]:
        batch, order = inputs.batch, inputs.batch.row_order
        rows = np.array(order.rows)
        positions = np.array([cache.lengths[row] for row in order.rows])
        embedded = self._embed(inputs, order)
        hidden = self._read(embedded, rows, positions, np.arange(len(rows)), cache)
        for row in order.rows:
            cache.lengths[row] += 1
        with_text = guided = hidden[torch.from_numpy(order.with_text)]
        if len(rows) > len(with_text):
            text_free = hidden[torch.from_numpy(order.text_free)]
            guided = torch.lerp(text_free, with_text, torch.from_numpy(batch.cfg)[:, None])
        noise = torch.from_numpy(batch.temperature)[:, None] * inputs.noise
        most = int(batch.draws.max())
        counted = np.arange(most)[:, None] < batch.draws  # [most, U]
        owner = np.nonzero(counted)[1].astype(np.int32)
        weight = (1 / batch.draws[owner]).astype(np.float32)
        if most > 1:
            noise = noise_variants(noise, most)[torch.from_numpy(counted)]
        units = self._draw_means(guided, noise, owner, weight)
        return units, self.stop_probability(with_text)

    def _embed(self, inputs: StepInputs, order: RowOrder) -> Tensor:
        """Input embeddings [R, H]; the rows of an utterance that read its unit share one."""
        tokens = inputs.tokens[order.utterance, order.column]
        reads_token = tokens != NONE
        if reads_token.all():
            return self.embed_text(torch.from_numpy(tokens))
        embedded = self.embed_units(inputs.units)[torch.from_numpy(order.utterance)]
        if reads_token.any():
            embedded[torch.from_numpy(reads_token)] = self.embed_text(
                torch.from_numpy(tokens[reads_token])
            )
        return embedded
