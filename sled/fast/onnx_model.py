"""The model in ONNX Runtime, for CPUs, with weights quantized to 8 bits.

The runtime reads and extends the keys and values of the cache in place, without copies.

Shapes: R rows of a call, Q new inputs per row, H hidden width, B utterances, N noise width, D
latent width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.fast.base import FastModel
from sled.fast.onnx_graph import Graph, write_backbone, write_embedding, write_head
from sled.fast.quantize import HEAD_MULTIPLE
from sled.files.digest import tensor_digest
from sled.model.cache import KVCache
from sled.model.heads import EnergyHead
from sled.model.lm import SpeechLM

# Bound runs kept for later steps. Usually there is one for each number of rows.
MAX_KEPT = 16


class BoundRun:
    """A repeatable run of an ONNX Runtime session on fixed input and output tensors.

    Args:
        session: The session of the runtime.
        inputs: Tensors that each run reads, by name.
        outputs: Tensors that each run writes, by name.
        grown: Tensors that each run extends in place, by name: input `name` and output `new_name`.
            The caller keeps them alive.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        grown: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._session, self._binding = session, session.io_binding()
        for name, tensor in inputs.items():
            self._bind(self._binding.bind_input, name, tensor)
        for name, tensor in outputs.items():
            self._bind(self._binding.bind_output, name, tensor)
        for name, tensor in (grown or {}).items():
            self._bind(self._binding.bind_input, name, tensor)
            self._bind(self._binding.bind_output, f"new_{name}", tensor)

    def _bind(self, bind: Callable[..., None], name: str, tensor: Tensor) -> None:
        assert tensor.is_contiguous()
        kind = tensor.numpy().dtype.type
        bind(name, "cpu", 0, kind, list(tensor.shape), tensor.data_ptr())

    def __call__(self) -> None:
        """Run the session: read the inputs, write the outputs."""
        self._session.run_with_iobinding(self._binding)


class OnnxModel(FastModel):
    """A `FrameModel` on the CPU. Embeddings and hidden states are float32.

    Args:
        model: The model to convert, in evaluation mode, on the CPU. Its weights are moved, to hold
            them only once: do not use it any more.
        bits: Bits of a matrix weight: 8, or 32 for float32.
        threads: Number of threads. None: as many as torch uses.
        cache_dtype: Type of keys and values: float32, or float16, which halves the memory to read.

    Raises:
        ValueError: If the runtime does not support the head width.
    """

    def __init__(
        self,
        model: SpeechLM,
        bits: int,
        threads: int | None = None,
        cache_dtype: torch.dtype = torch.float16,
    ) -> None:
        super().__init__(model, torch.float32, None if bits == 32 else torch.float16)
        self._cache_dtype = cache_dtype
        architecture = self.config.architecture
        if architecture.head_dim % HEAD_MULTIPLE:
            raise ValueError(
                f"head_dim={architecture.head_dim}: int8 needs a multiple of {HEAD_MULTIPLE}; "
                "use float32"
            )
        projection, head = model.z_proj, model.scoreloss
        assert isinstance(projection, nn.Linear) and isinstance(head, EnergyHead)
        threads = threads or torch.get_num_threads()
        # The runtime computes the embedding too: threads of torch would compete with its own. One
        # thread is enough for this small product.
        self._embedding, _ = _open(
            lambda graph: write_embedding(graph, projection, model.z_proj_ln), bits=32, threads=1
        )
        self._backbone, self._backbone_digest = _open(
            lambda graph: write_backbone(graph, model.model, architecture, cache_dtype),
            bits,
            threads,
        )
        self._head, self._head_digest = _open(
            lambda graph: write_head(graph, head, architecture), bits, threads
        )
        self._steps: dict[tuple[int, ...], BoundRun] = {}
        self._draws: dict[int, BoundRun] = {}

    @override
    def digest(self) -> str:
        return "-".join((tensor_digest(self.tensors()), self._backbone_digest, self._head_digest))

    @override
    def new_cache(self) -> KVCache:
        return KVCache(self.config.architecture, self.device, self._cache_dtype)

    @override
    def embed_units(self, units: Tensor) -> Tensor:
        flat = units.float().reshape(-1, units.shape[-1]).contiguous()
        (embedded,) = self._embedding.run(None, {"latents": flat.numpy()})
        return torch.from_numpy(embedded).view(*units.shape[:-1], -1)

    @override
    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: KVCache
    ) -> Tensor:
        held = (cache.lengths[row] + n for row, n in zip(rows, counts, strict=True))
        cache.reserve(max(held))
        if embeddings.shape[1] > 1:  # the runtime does not support padding
            runs = [(row, embeddings[i : i + 1, : counts[i]]) for i, row in enumerate(rows)]
        else:
            runs = [(rows[i], embeddings[i : i + n]) for i, n in _neighbours(rows)]
        return torch.cat([self._read(x, first, cache) for first, x in runs])

    def _read(self, x: Tensor, first: int, cache: KVCache) -> Tensor:
        """Feed inputs [R, Q, H] to R rows from `first` on; return their last states [R, H]."""
        num_rows, num_inputs, _ = x.shape
        keys, values = cache.memory(first, num_rows)
        key = (keys.data_ptr(), values.data_ptr(), keys.stride(0), num_rows, cache.capacity)
        step = self._steps.get(key) if num_inputs == 1 else None
        if step is None:
            step = self._bind_step(x, keys, values)
            if num_inputs == 1:
                if len(self._steps) >= MAX_KEPT:
                    self._steps.clear()
                self._steps[key] = step
        for row in range(first, first + num_rows):
            cache.lengths[row] += num_inputs
        lengths = cache.lengths[first : first + num_rows]
        step.inputs["x"].copy_(x)
        step.inputs["last"].copy_(torch.tensor(lengths, dtype=torch.int32) - 1)
        step.inputs["total"].fill_(max(lengths))
        step()
        return step.outputs["hidden"][:, -1].clone()

    def _bind_step(self, x: Tensor, keys: Tensor, values: Tensor) -> BoundRun:
        """Bind a run of the backbone that extends keys and values [layers, R, ...] in place."""
        inputs = {
            "x": torch.empty_like(x, memory_format=torch.contiguous_format),
            "last": torch.empty(len(x), dtype=torch.int32),
            "total": torch.empty(1, dtype=torch.int32),
        }
        outputs = {"hidden": torch.empty_like(inputs["x"])}
        grown = {f"keys.{layer}": held for layer, held in enumerate(keys)}
        grown |= {f"values.{layer}": held for layer, held in enumerate(values)}
        return BoundRun(self._backbone, inputs, outputs, grown)

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        count = len(hidden)
        draw = self._draws.get(count)
        if draw is None:
            latents = torch.empty(count, self.config.architecture.vae_embed_dim)
            inputs = {"hidden": torch.empty(hidden.shape), "noise": torch.empty(noise.shape)}
            draw = self._draws[count] = BoundRun(self._head, inputs, {"latents": latents})
        draw.inputs["hidden"].copy_(hidden)
        draw.inputs["noise"].copy_(noise)
        draw()
        return draw.outputs["latents"].clone()


def _neighbours(rows: list[int]) -> list[tuple[int, int]]:
    """Find the runs of consecutive numbers in an ascending list, as (start, length)."""
    starts = [i for i in range(len(rows)) if i == 0 or rows[i] != rows[i - 1] + 1]
    return [(i, end - i) for i, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


def _open(
    write: Callable[[Graph], None], bits: int, threads: int
) -> tuple[onnxruntime.InferenceSession, str]:
    """Open a session for the graph that `write` builds; return it and a digest of its weights."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Waiting threads must not spin: they would take time from the codec's threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    with TemporaryDirectory(prefix="sled-", ignore_cleanup_errors=True) as folder:
        graph = Graph(Path(folder), bits)
        write(graph)
        path, digest = graph.save()
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    return session, digest
