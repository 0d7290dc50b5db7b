"""A folder of ONNX graphs with its settings. Nothing here needs PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sled.files.json_object import read_json_object
from sled.files.onnx_file import open_onnx
from sled.model.ids import Sampling, SpeechIds
from sled.model.order import Order

SETTINGS_FILE, ARRAYS_FILE, TOKENIZER = "chain.json", "arrays.safetensors", "tokenizer"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How units are drawn and when speech ends, see `sled.decoding.DecodingOptions`.

    Attributes:
        cfg: Guidance scale; 1 for none.
        temperature: Scale of the noise, or what the scores of ids are divided by.
        draws: Number of draws that a unit is the mean of.
        sampling: Which ids may be drawn.
        stop_thresholds: Stop probabilities at which speech ends, offline and in chunks.
        frames_per_token: The fewest and the most frames that a token of text takes. None: not
            known.
        length_tolerance: Factor by which speech may be shorter or longer. None: any.
    """

    cfg: float
    temperature: float
    draws: int
    sampling: Sampling
    stop_thresholds: tuple[float, float]
    frames_per_token: tuple[float, float] | None
    length_tolerance: float | None


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What decoding has to know of a model.

    Attributes:
        layers: Number of layers with a cache.
        cache_shape: Heads of keys, and their width.
        input_width: Width of the inputs of the layers.
        positions: The most positions of a sequence.
        bos_id: The token before every text. None: there is none.
        eos_id: The token after every text.
        normalization: How texts are normalised.
        order: The order of text and speech by default.
        streaming_order: Their order for text that comes in pieces.
        ids: The ids that units are. None: units are vectors.
        noise_width: Numbers of noise in a draw.
        drawing: How units are drawn.
        text_end_id: A further token between every text and `eos_id`. None: there is none.
    """

    layers: int
    cache_shape: tuple[int, int]
    input_width: int
    positions: int
    bos_id: int | None
    eos_id: int
    normalization: str | None
    order: Order
    streaming_order: Order
    ids: SpeechIds | None
    noise_width: int
    drawing: Drawing
    text_end_id: int | None = None

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> ModelSettings:
        """Undo `dataclasses.asdict`."""
        drawing = dict(flat["drawing"])
        drawing["sampling"] = Sampling(**drawing["sampling"])
        for name in ("stop_thresholds", "frames_per_token"):
            drawing[name] = None if drawing[name] is None else tuple(drawing[name])
        parsed = {
            "cache_shape": tuple(flat["cache_shape"]),
            "order": Order(**flat["order"]),
            "streaming_order": Order(**flat["streaming_order"]),
            "ids": None if flat["ids"] is None else SpeechIds(**flat["ids"]),
            "drawing": Drawing(**drawing),
        }
        return cls(**{**flat, **parsed})


class GraphFolder:
    """The graphs of a folder, opened when they are first used.

    Args:
        folder: As `sled export --onnx` writes it.
        threads: CPU threads of a graph.

    Attributes:
        folder: The folder.
        settings: The content of its `chain.json`.

    Raises:
        ValueError: If it is no such folder, or of another version.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        self.folder, self._threads = Path(folder).expanduser(), threads
        path = self.folder / SETTINGS_FILE
        if not path.is_file():
            raise ValueError(f"no {SETTINGS_FILE} in {folder}: write it with sled export --onnx")
        self.settings: dict[str, Any] = read_json_object(path)
        if (found := self.settings.get("format")) != FORMAT:
            raise ValueError(f"{path} has the format {found}, not {FORMAT}: export the model again")
        self._sessions: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        """Whether there is a graph of this name."""
        return (self.folder / f"{name}.onnx").is_file()

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Constants by name."""
        from safetensors.numpy import load_file

        return load_file(self.folder / ARRAYS_FILE)

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph; returns its outputs in order."""
        if name not in self._sessions:
            self._sessions[name] = open_onnx(self.folder / f"{name}.onnx", self._threads)
        outputs: list[np.ndarray] = self._sessions[name].run(None, inputs)
        return outputs
