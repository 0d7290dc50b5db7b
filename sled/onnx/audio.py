"""Streams from units to samples with ONNX graphs, without PyTorch; see `sled.onnx.codec_graphs`.

All pieces of a stream, joined, are the speech that the codec makes of the whole.

Shapes: T units, S samples, D' width of latents, M mel bands, F frames, W width of a speaker vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from sled.onnx.folder import GraphFolder
from sled.onnx.solver import Arrays, solve
from sled.onnx.stream import UnitStream
from sled.onnx.vocoder import VocoderStream
from sled.onnx.whole_tokens import WholeTokenStream

Settings = dict[str, Any]
States = list[np.ndarray]


class LatentStream(UnitStream):
    """A stream of latents.

    Speech of fewer latents than the first samples depend on ends as if its last one were held.

    Args:
        graphs: The graphs of the codec.
        settings: Of the codec.
    """

    def __init__(self, graphs: GraphFolder, settings: Settings) -> None:
        self._graphs, self._settings = graphs, settings
        self._waiting: list[np.ndarray] = []  # [n, D']
        self._latest: np.ndarray | None = None  # [1, D']
        self._states: States = []

    @override
    def feed(self, units: np.ndarray) -> np.ndarray:
        if not len(units):
            return np.zeros(0, np.float32)
        [latents] = self._graphs.run("latents", {"units": units.astype(np.float32)})
        self._latest = latents[-1:]
        self._waiting.append(latents)
        if not self._states and sum(map(len, self._waiting)) < self._settings["start"]:
            return np.zeros(0, np.float32)
        return self._run()

    @override
    def finish(self) -> np.ndarray:
        if self._latest is None:
            return np.zeros(0, np.float32)
        held = self._settings["held"]
        short = 0
        if not self._states:
            short = max(0, self._settings["start"] - held - sum(map(len, self._waiting)))
        self._waiting.append(np.repeat(self._latest, held + short, 0))
        samples = self._run() if held + short else np.zeros(0, np.float32)
        return samples[: len(samples) - short * self._settings["stored_hop_length"]]

    def _run(self) -> np.ndarray:
        latents, self._waiting = np.concatenate(self._waiting), []
        if self._states:
            inputs = {f"state.{index}": one for index, one in enumerate(self._states)}
            samples, *self._states = self._graphs.run("decoder_next", {"latents": latents} | inputs)
            return samples
        samples, *self._states = self._graphs.run("decoder_first", {"latents": latents})
        return samples[self._settings["cut"] :]


class _Memory:
    """A graph that remembers something from one chunk to the next.

    Args:
        graphs: The graphs.
        name: The graph.
        states: What its states are like at the beginning.
        rows: Rows of them.
    """

    def __init__(
        self, graphs: GraphFolder, name: str, states: list[Settings], rows: int = 1
    ) -> None:
        self._graphs, self._name = graphs, name
        self._grows = [int(one["grows"]) for one in states]
        self._states = [np.zeros((rows, *one["shape"]), one["type"]) for one in states]

    def run(self, inputs: dict[str, np.ndarray], prompt: int, left: float) -> np.ndarray:
        """Run the graph on a chunk; attention then remembers as many tokens as it may.

        Args:
            inputs: Of the chunk.
            prompt: Tokens at the beginning, which are always remembered.
            left: Newest tokens that are remembered.
        """
        inputs = inputs | {f"state.{index}": one for index, one in enumerate(self._states)}
        made, *after = self._graphs.run(self._name, inputs)
        self._states = [
            _cut(one, rate * prompt, rate * left) if rate else one
            for one, rate in zip(after, self._grows, strict=True)
        ]
        return made


def _cut(one: np.ndarray, prompt: int, left: float) -> np.ndarray:
    first = max(prompt, one.shape[1] - left)
    if first <= prompt:
        return one
    return np.concatenate((one[:, :prompt], one[:, int(first) :]), 1)


class TokenStream(UnitStream):
    """A stream of speech tokens: chunks of tokens to mel frames, and these to samples.

    Args:
        graphs: The graphs of the codec.
        settings: Of the codec.
        speaker: [1, M], projected.
        tokens: [P, ...] of a recording that the speech continues.
        mel: [M, G] its mel spectrogram.
    """

    def __init__(
        self,
        graphs: GraphFolder,
        settings: Settings,
        speaker: np.ndarray,
        tokens: np.ndarray,
        mel: np.ndarray,
    ) -> None:
        self._graphs, self._settings, self._speaker = graphs, settings, speaker
        self._noise, per_token = graphs.arrays["noise"], settings["frames_per_token"]
        count = int(min(len(tokens), mel.shape[1] // per_token))
        self._tokens, self._mel, self._prompt = tokens[:count], mel[:, : per_token * count], count
        self._position = 0
        rows = 2 if settings["guidance"] else 1
        self._encoder = _Memory(graphs, "flow_encoder", settings["encoder_states"])
        self._estimators = [
            _Memory(graphs, "flow_estimator", settings["estimator_states"], rows)
            for _ in settings["times"][1:]
        ]
        self._vocoder = VocoderStream(graphs, settings)

    @override
    def feed(self, units: np.ndarray) -> np.ndarray:
        return self._feed(units.astype(np.int64), False)

    @override
    def finish(self) -> np.ndarray:
        return self._feed(self._tokens[:0], True)

    def _feed(self, tokens: np.ndarray, last: bool) -> np.ndarray:
        self._tokens = np.concatenate((self._tokens, tokens))
        pieces = []
        lookahead = self._settings["lookahead"]
        while len(self._tokens) and (last or len(self._tokens) >= self._chunk() + lookahead):
            pieces.append(self._solve_chunk())
        mel = np.concatenate(pieces, 1) if pieces else np.zeros((len(self._noise), 0), np.float32)
        return self._vocoder.feed(mel, last)

    def _chunk(self) -> int:
        """Tokens of the next chunk."""
        settings, spoken = self._settings, self._position
        sizes: list[int] = settings["chunks"]
        if settings["prompt_is_chunk"]:
            if spoken < self._prompt:
                return self._prompt - spoken
            spoken -= self._prompt
        for size in sizes:
            if spoken <= 0:
                return size
            spoken -= size
        return sizes[-1]

    def _solve_chunk(self) -> np.ndarray:
        """The mel frames [M, F] of the next chunk, but those of the prompt."""
        settings, per_token = self._settings, self._settings["frames_per_token"]
        chunk = self._chunk()
        tokens, self._tokens = self._tokens[:chunk], self._tokens[chunk:]
        frames = per_token * len(tokens)
        given, self._mel = self._mel[:, :frames], self._mel[:, frames:]
        left = settings["left_frames"] / per_token if settings["left_frames"] >= 0 else np.inf
        inputs = {
            "tokens": tokens[None],
            "later": self._tokens[None, : settings["lookahead"]],
            "start": np.array([self._position]),
        }
        mu = self._encoder.run(inputs, self._prompt, left)
        shown = np.pad(given, ((0, 0), (0, frames - given.shape[1])))[None]
        mel = self._solve(mu, shown, left)
        self._position += len(tokens)
        return mel[:, given.shape[1] :]

    def _solve(self, mu: np.ndarray, shown: np.ndarray, left: float) -> np.ndarray:
        """Mel frames [M, F] of a chunk."""
        settings = self._settings
        start = settings["frames_per_token"] * self._position
        index = (start + np.arange(mu.shape[2])) % self._noise.shape[1]

        def estimate(step: int, inputs: Arrays) -> np.ndarray:
            return self._estimators[step].run(inputs, self._prompt, left)

        conditions = {"mu": mu, "cond": shown, "spks": self._speaker}
        return solve(settings, self._noise[None, :, index], conditions, estimate)


def open_stream(
    graphs: GraphFolder,
    speaker: np.ndarray | None = None,
    tokens: np.ndarray | None = None,
    mel: np.ndarray | None = None,
) -> UnitStream:
    """A new stream of the codec in a folder. That of latents takes no conditions.

    Args:
        graphs: The folder.
        speaker: [W]. None: the vector of no speaker.
        tokens: [P, ...] of a recording that the speech continues. None: none.
        mel: [M, G] its mel spectrogram.
    """
    settings = graphs.settings["codec"]
    if settings["kind"] == "latents":
        return LatentStream(graphs, settings)
    size, shape = settings["speaker_size"], (0, *settings["token_shape"])
    vector = np.zeros(size, np.float32) if speaker is None else speaker.astype(np.float32)
    if graphs.has("flow_speaker"):
        [projected] = graphs.run("flow_speaker", {"speaker": vector})
    else:
        projected = vector[None]
    tokens = np.zeros(shape, np.int64) if tokens is None else tokens
    mel = np.zeros((len(graphs.arrays["noise"]), 0), np.float32) if mel is None else mel
    kind = TokenStream if settings["kind"] == "tokens" else WholeTokenStream
    return kind(graphs, settings, projected, tokens, mel)
