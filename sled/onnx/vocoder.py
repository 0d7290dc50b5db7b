"""Mel frames to samples with ONNX graphs, piece by piece, without PyTorch.

Shapes: M mel bands, F frames, S samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sled.onnx.folder import GraphFolder


class VocoderStream:
    """Mel frames to samples, see `sled.codec.token_codec.streaming.VocoderStream`."""

    def __init__(self, graphs: GraphFolder, settings: dict[str, Any]) -> None:
        self._graphs = graphs
        self._lookahead, self._hop = settings["vocoder_lookahead"], settings["vocoder_hop"]
        self._waiting: list[np.ndarray] = []
        self._ahead = np.zeros(0, np.float32)
        self._states: list[np.ndarray] = []

    def feed(self, mel: np.ndarray, last: bool) -> np.ndarray:
        """Feed mel frames [M, F]; returns the samples [S] that are complete."""
        self._waiting.append(mel)
        frames = sum(one.shape[1] for one in self._waiting)
        is_enough = frames > self._lookahead or last
        if not (frames and is_enough) and not (self._states and (frames or last)):
            return np.zeros(0, np.float32)
        inputs = {"mel": np.concatenate(self._waiting, 1)[None]}
        inputs |= {f"state.{index}": one for index, one in enumerate(self._states)}
        started, self._waiting = bool(self._states), []
        name = ("last" if last else "next") if started else ("whole" if last else "first")
        made, *self._states = self._graphs.run(f"vocoder_{name}", inputs)
        samples = np.concatenate((self._ahead, made))
        if last:
            return samples
        ready = (frames - (0 if started else self._lookahead)) * self._hop
        self._ahead = samples[ready:]
        return samples[:ready]
