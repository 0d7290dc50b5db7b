"""The layers in ONNX Runtime, with weights rounded to 8 or 4 bits, for CPUs.

The runtime reads and extends the keys and values of the cache in place, without copies.

Shapes: R rows of a call, Q new inputs of a row, H hidden width, B utterances, N noise width, D
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
from sled.files.digest import tensor_digest
from sled.model.cache import KVCache
from sled.model.heads import EnergyHead
from sled.model.lm import SpeechLM

# Bound runs that are kept for later steps; usually there is one for each number of rows.
MAX_KEPT = 16


class BoundRun:
    """A run of a session whose inputs and outputs have fixed memory.

    Args:
        session: The session.
        inputs: The tensors that it reads each time, by name.
        outputs: The tensors that it writes each time, by name.
        grown: Tensors that inputs of these names share with outputs `new_...`. The caller owns
            them and keeps them alive.
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
        """Read the inputs, write the outputs."""
        self._session.run_with_iobinding(self._binding)


class OnnxModel(FastModel):
    """A `FrameModel` on the CPU. Embeddings and hidden states are float32.

    Args:
        model: In evaluation mode, on the CPU. Its weights are moved out of it, so that they are not
            held twice: do not use it any more.
        bits: Bits of a matrix weight: 4, 8, or 32 for float32.
        threads: Threads to compute with. None: as many as torch has.
        cache_dtype: Type of keys and values: float32, or float16, which is read twice as fast.

    Raises:
        ValueError: For a head width that the runtime cannot rotate.
    """

    def __init__(
        self,
        model: SpeechLM,
        bits: int,
        threads: int | None = None,
        cache_dtype: torch.dtype = torch.float16,
    ) -> None:
        super().__init__(model, torch.float32)
        self._cache_dtype = cache_dtype
        architecture = self.config.architecture
        if architecture.head_dim % 16:
            raise ValueError(
                f"head_dim={architecture.head_dim}: int8 and int4 need a multiple of 16; "
                "use float32"
            )
        projection, head = model.z_proj, model.scoreloss
        assert isinstance(projection, nn.Linear) and isinstance(head, EnergyHead)
        threads = threads or torch.get_num_threads()
        # Not computed by torch, whose threads would compete with the runtime's. Too small for two.
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
        if embeddings.shape[1] > 1:  # the runtime has no padding
            runs = [(row, embeddings[i : i + 1, : counts[i]]) for i, row in enumerate(rows)]
        else:
            runs = [(rows[i], embeddings[i : i + n]) for i, n in _neighbours(rows)]
        return torch.cat([self._read(x, first, cache) for first, x in runs])

    def _read(self, x: Tensor, first: int, cache: KVCache) -> Tensor:
        """Let R rows from `first` on read inputs [R, Q, H]; returns their last states [R, H]."""
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
        """A run of the backbone that extends these rows of the cache [layers, R, ...] in place."""
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
    """Runs of consecutive numbers in an ascending list, as (start, length)."""
    starts = [i for i in range(len(rows)) if i == 0 or rows[i] != rows[i - 1] + 1]
    return [(i, end - i) for i, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


def _open(
    write: Callable[[Graph], None], bits: int, threads: int
) -> tuple[onnxruntime.InferenceSession, str]:
    """A session for the graph that `write` makes, and a digest of its weights."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait would take time from the codec's.
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
