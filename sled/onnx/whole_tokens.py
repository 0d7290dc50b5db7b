"""Speech tokens to samples by a flow that sees whole utterances, without PyTorch.

The graphs are those of `sled.onnx.whole_flow_graphs`. Samples come at the end of each segment,
which is solved alone; only the vocoder goes on from one to the next.

Shapes: T tokens, P tokens of a prompt, G mel frames of it, F mel frames, M mel bands, S samples, E
width of columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from sled.onnx.folder import GraphFolder
from sled.onnx.solver import Arrays, solve
from sled.onnx.stream import UnitStream
from sled.onnx.vocoder import VocoderStream


class WholeTokenStream(UnitStream):
    """A stream of speech tokens; those of a segment are decoded when all are there.

    Args:
        graphs: The graphs of the codec.
        settings: Of the codec.
        speaker: [W].
        tokens: [P] of a recording that the speech continues.
        mel: [M, G] its mel spectrogram.
    """

    def __init__(
        self,
        graphs: GraphFolder,
        settings: dict[str, Any],
        speaker: np.ndarray,
        tokens: np.ndarray,
        mel: np.ndarray,
    ) -> None:
        self._graphs, self._settings, self._speaker = graphs, settings, speaker
        self._prompt, self._mel = tokens, mel
        self._pieces: list[np.ndarray] = []
        self._vocoder = VocoderStream(graphs, settings)
        self._missing = 0  # samples by which the mel frames are shorter than the tokens

    @override
    def feed(self, units: np.ndarray) -> np.ndarray:
        self._pieces.append(units.astype(np.int64))
        return np.zeros(0, np.float32)

    @override
    def end_segment(self) -> np.ndarray:
        return self._vocoder.feed(self._solve(), False)

    @override
    def finish(self) -> np.ndarray:
        samples = self._vocoder.feed(self._solve(), True)
        return np.pad(samples, (0, self._missing))

    def _solve(self) -> np.ndarray:
        """The mel frames [M, F] of the tokens that wait; see `WholeStreamingDecoder`."""
        count, frame = sum(map(len, self._pieces)), self._settings["vocoder_hop"]
        mel = self._mel[:, :0]
        if count:
            mel = self._mel_of(np.concatenate((self._prompt, *self._pieces)))
        self._pieces = []
        short = self._missing + count * self._settings["hop_length"] - mel.shape[1] * frame
        if mel.shape[1]:  # the last frame is held as often as frames are missing
            held = max(0, short // frame)
            mel, short = np.pad(mel, ((0, 0), (0, held)), "edge"), short - held * frame
        self._missing = max(0, short)
        return mel

    def _mel_of(self, tokens: np.ndarray) -> np.ndarray:
        """The mel frames [M, F] of a prompt and new tokens [P + T], without those of the prompt."""
        graphs, start = self._graphs, self._mel.shape[1]
        [columns] = graphs.run("flow_encoder", {"tokens": tokens[None]})
        mu = self._stretch(columns)
        conditions = {"mu": mu, "spks": self._speaker}
        noise = graphs.arrays["noise"]
        noise = noise[None, :, np.arange(mu.shape[2]) % noise.shape[1]]
        if not graphs.has("flow_regulator"):
            mel = solve(self._settings, noise, conditions, self._estimate, self._mel)
            return mel[:, start:]
        [conditions["mu"]] = graphs.run("flow_regulator", {"stretched": mu})
        conditions["cond"] = np.pad(self._mel, ((0, 0), (0, mu.shape[2] - start)))[None]
        return solve(self._settings, noise, conditions, self._estimate)[:, start:]

    def _stretch(self, columns: np.ndarray) -> np.ndarray:
        """Columns [1, E, P + T] of tokens to columns [1, E, G + F] of frames."""
        ends, first = self._settings["end_tokens"], len(self._prompt)
        start, count = self._mel.shape[1], columns.shape[2] - first
        frames = self._num_frames(count)
        if not ends:
            return stretched(columns, start + frames)
        parts = [(columns[..., :first], start)]
        new = columns[..., first:]
        if count > 2 * ends:
            few = self._num_frames(ends)
            middle = new[..., ends : count - ends]
            parts += [(new[..., :ends], few), (middle, frames - 2 * few), (new[..., -ends:], few)]
        else:
            parts.append((new, frames))
        return np.concatenate([stretched(*part) for part in parts], 2)

    def _num_frames(self, count: int) -> int:
        """Mel frames of so many tokens."""
        return int(count / self._settings["token_rate"] * self._settings["mel_rate"])

    def _estimate(self, step: int, inputs: Arrays) -> np.ndarray:
        """A velocity [R, M, F], row by row if the graph takes only one."""
        if self._graphs.has("flow_regulator"):
            return self._graphs.run("flow_estimator", inputs)[0]
        rows = [
            self._graphs.run("flow_estimator", {name: one[[row]] for name, one in inputs.items()})
            for row in range(len(inputs["t"]))
        ]
        return np.concatenate([row[0] for row in rows])


def stretched(columns: np.ndarray, count: int) -> np.ndarray:
    """Columns [1, E, n] as `count` columns, with straight lines between their centres."""
    present = columns.shape[2]
    if not count:
        return columns[..., :0]
    place = ((np.arange(count) + 0.5) * (present / count) - 0.5).clip(0, present - 1)
    left = np.floor(place).astype(int)
    right = np.minimum(left + 1, present - 1)
    share = (place - left).astype(np.float32)
    return np.asarray(columns[..., left] * (1 - share) + columns[..., right] * share)
