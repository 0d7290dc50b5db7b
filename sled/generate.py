"""The one decoding loop: whatever is spoken in this project, is spoken here.

A row is a text and, perhaps, a speech prefix. Classifier-free guidance gives every row a
companion whose text is the single token `</s>` and whose speech is the same; both go through the
model as one batch. Each step, a row reads its last frame and the text that its layout says is due,
and writes one frame. Rows never influence one another, so a ragged batch gives each row what it
gets alone. Shapes: B rows, R = B or 2B with companions, Q new inputs of a row, D latent width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.backbone import KVCache
from sled.layout import Layout
from sled.model import SpeechLlamaForCausalLM

OFFLINE_STOP_THRESHOLD, STREAM_STOP_THRESHOLD = 0.8, 0.5


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How frames are drawn and when speech ends.

    Attributes:
        cfg: Guidance scale c: the head sees u + c (h - u), h with the text and u without. At 1
            the text-free companion is not computed.
        temperature: Scale of the head's noise. 0 is deterministic, 1 as trained.
        stop_threshold: Stop when the stop probability reaches it. None: 0.8 offline, 0.5 chunked.
        min_frames: New frames of speech before which a row may not stop.
        max_frames: New frames after which a row is cut. None: as many as the positions hold.
        max_length: Positions a row may fill: text, prompt and new frames. None: all the model has.
        stop_before_text_end: Let a chunked row stop while text is still unread.
    """

    cfg: float = 2.0
    temperature: float = 1.0
    stop_threshold: float | None = None
    min_frames: int = 0
    max_frames: int | None = None
    max_length: int | None = None
    stop_before_text_end: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.cfg < math.inf:  # nor NaN
            raise ValueError(
                f"cfg={self.cfg} must be at least 0: use 1 for no guidance, 2 as recommended"
            )
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature} must be at least 0: 1 is as trained")
        if self.stop_threshold is not None and not self.stop_threshold > 0:
            raise ValueError(f"stop_threshold={self.stop_threshold} must be above 0")
        if self.min_frames < 0:
            raise ValueError(f"min_frames={self.min_frames} is below 0")
        if self.max_frames is not None and self.max_frames < max(1, self.min_frames):
            raise ValueError(
                f"max_frames={self.max_frames} must be at least 1 and min_frames={self.min_frames}"
            )


@dataclass(frozen=True, eq=False)
class Request:
    """One row to speak.

    Attributes:
        token_ids: The text, `<s>` first and `</s>` last.
        prompt: [P, D] latents of a speech prefix whose text opens `token_ids`; None for none.
    """

    token_ids: Sequence[int]
    prompt: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """What one step of the loop wrote.

    Attributes:
        rows: The B' rows still speaking, as indices into the requests.
        latents: [B', D] the frame that each wrote.
        stopped: B' flags: the row stopped *at* this frame, which is not speech.
        exhausted: B' flags: the row was cut *after* this frame, which is its last.
    """

    rows: list[int]
    latents: Tensor
    stopped: list[bool]
    exhausted: list[bool]


@dataclass(frozen=True, eq=False)
class Generated:
    """A finished row.

    Attributes:
        latents: [T, D] new frames, without prompt; with the frame of the stopping step last if
            `stopped`.
        stopped: True if the model said stop, False if the row was cut at its limit.
    """

    latents: Tensor
    stopped: bool

    @property
    def speech(self) -> Tensor:
        """[T, D] the frames that are speech: the frame of the stopping step is not."""
        return self.latents[:-1] if self.stopped else self.latents


@dataclass
class _Row:
    """Where one row of the batch stands.

    Attributes:
        token_ids: Its text.
        unread: [U, D] frames that exist but have not been read: the prompt, then one a step.
        num_frames: Frames that exist, prompt included.
        tokens_read: Tokens that have been read.
    """

    token_ids: Sequence[int]
    unread: Tensor
    tokens_read: int = 0
    num_frames: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_frames = len(self.unread)

    def text_is_due(self, layout: Layout) -> bool:
        """Whether the layout puts more text before the row's next frame."""
        return self.tokens_read < layout.tokens_before(self.num_frames, len(self.token_ids))

    def write(self, frame: Tensor) -> None:
        """Append one frame [D]."""
        self.unread = frame[None]
        self.num_frames += 1


class Decoder:
    """Decodes one batch of requests; iterate over it for the steps.

    Args:
        model: In evaluation mode.
        requests: The B rows.
        generators: One `torch.Generator` for the call, which draws [B, N] a step as published, or
            one per row, which makes a row's speech independent of its company.
        options: How to draw and when to stop.
        layout: None: the checkpoint's own.

    Raises:
        ValueError: For no rows, a row without text, one that is too long for the model's
            positions, or a wrong number of generators.
    """

    def __init__(
        self,
        model: SpeechLlamaForCausalLM,
        requests: Sequence[Request],
        generators: torch.Generator | Sequence[torch.Generator],
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
    ) -> None:
        options = options or DecodingOptions()
        layout = layout or model.layout
        if not requests:
            raise ValueError("no text to speak: give at least one request")
        if not isinstance(generators, torch.Generator) and len(generators) != len(requests):
            raise ValueError(f"{len(generators)} generators for {len(requests)} rows: one for each")
        self.model, self.layout, self.options = model, layout, options
        self.generators = generators
        self.limits = [self._limit(request) for request in requests]
        self.batch_size = len(requests)
        self.alive = list(range(len(requests)))
        self.guided = options.cfg != 1
        self.copies = 2 if self.guided else 1
        default = OFFLINE_STOP_THRESHOLD if layout.is_offline else STREAM_STOP_THRESHOLD
        self.threshold = default if options.stop_threshold is None else options.stop_threshold

        empty = torch.empty(0, model.config.vae_embed_dim)
        prompts = [empty if request.prompt is None else request.prompt for request in requests]
        prompts = [prompt.to(model.device, model.dtype) for prompt in prompts]
        texts = [list(request.token_ids) for request in requests]
        if self.guided:
            prompts = prompts * 2
            texts += [[model.config.eos_token_id] for _ in requests]
        self.rows = [_Row(ids, prompt) for ids, prompt in zip(texts, prompts, strict=True)]
        self.written = 0
        longest = max(
            len(row.token_ids) + row.num_frames + limit
            for row, limit in zip(self.rows, self.limits, strict=False)
        )
        # Rows that read text beside rows that do not are padded by up to a text chunk.
        slack = 0 if layout.text_chunk is None else layout.text_chunk
        self.cache = KVCache.allocate(
            model.config, len(self.rows), longest + slack + 1, model.device, model.dtype
        )

    def _limit(self, request: Request) -> int:
        if not len(request.token_ids):
            raise ValueError("empty text: give at least one token")
        positions = self.model.config.max_position_embeddings
        if self.options.max_length is not None:
            positions = min(positions, self.options.max_length)
        prompt_frames = 0 if request.prompt is None else len(request.prompt)
        budget = positions - len(request.token_ids) - prompt_frames
        if budget < 1:
            raise ValueError(
                f"the text is too long: {len(request.token_ids)} tokens and {prompt_frames} prompt "
                f"frames leave none of {positions} positions for speech; shorten the text or the "
                "prompt, or split the text into sentences"
            )
        return budget if self.options.max_frames is None else min(budget, self.options.max_frames)

    @torch.inference_mode()
    def __iter__(self) -> Iterator[Step]:
        while self.alive:
            yield self._step()

    def _step(self) -> Step:
        hidden = self._read()  # [R, H]
        with_text = hidden[: len(self.alive)]
        guided = with_text
        if self.guided:
            text_free = hidden[len(self.alive) :]
            guided = text_free + self.options.cfg * (with_text - text_free)
        noise = self.options.temperature * self._noise().to(hidden.device)
        latents = self.model.scoreloss.draw(guided, noise)  # [B', D]
        stop_probability = self.model.stop_probability(with_text).tolist()

        stopped, exhausted = [], []
        for row, index, probability in zip(self.rows, self.alive, stop_probability, strict=False):
            heard_all = self.options.stop_before_text_end or row.tokens_read == len(row.token_ids)
            may_stop = heard_all and self.written >= self.options.min_frames
            stopped.append(may_stop and probability >= self.threshold)
            exhausted.append(not stopped[-1] and self.written + 1 >= self.limits[index])
        for row, frame in zip(self.rows, latents.repeat(self.copies, 1), strict=True):
            row.write(frame)
        self.written += 1
        step = Step(self.alive, latents, stopped, exhausted)
        self._drop(step)
        return step

    def _read(self) -> Tensor:
        """Feed every row what is due before its next frame; returns its last state [R, H]."""
        if self.written and not any(row.text_is_due(self.layout) for row in self.rows):
            last = torch.stack([row.unread for row in self.rows[: len(self.alive)]])  # [B', 1, D]
            embeddings = self.model.embed_latents(last).repeat(self.copies, 1, 1)
            return self.model.advance(embeddings, [1] * len(self.rows), self.cache)
        inputs = [self._embed_due(row) for row in self.rows]
        padded = pad_sequence(inputs, batch_first=True)
        return self.model.advance(padded, [len(x) for x in inputs], self.cache)

    def _embed_due(self, row: _Row) -> Tensor:
        """Input embeddings [Q, H] that a row must still read to predict its next frame."""
        frames_read = row.num_frames - len(row.unread)
        parts = []
        for segment in self.layout.segments(
            tokens_read=row.tokens_read,
            frames_read=frames_read,
            until_frame=row.num_frames,
            num_tokens=len(row.token_ids),
        ):
            if segment.is_text:
                ids = torch.tensor(row.token_ids[segment.start : segment.stop])
                parts.append(self.model.embed_text(ids.to(self.model.device)))
                row.tokens_read = segment.stop
            else:
                frames = row.unread[segment.start - frames_read : segment.stop - frames_read]
                parts.append(self.model.embed_latents(frames))
        return torch.cat(parts)

    def _noise(self) -> Tensor:
        """Standard normal noise [B', N], the same on every device for the same seed."""
        width = self.model.config.noise_channels
        if isinstance(self.generators, torch.Generator):
            # Drawn for all rows, speaking or not, so that the published runs are reproduced.
            device = self.generators.device
            noise = torch.randn(self.batch_size, width, generator=self.generators, device=device)
            return noise[self.alive]
        generators = [self.generators[index] for index in self.alive]
        return torch.stack([torch.randn(width, generator=g, device=g.device) for g in generators])

    def _drop(self, step: Step) -> None:
        """Take the rows that finished with this step out of the batch."""
        ends = [any(pair) for pair in zip(step.stopped, step.exhausted, strict=True)]
        keep = [i for i, ended in enumerate(ends) if not ended]
        if len(keep) == len(self.alive):
            return
        kept_rows = [i + copy * len(self.alive) for copy in range(self.copies) for i in keep]
        self.rows = [self.rows[i] for i in kept_rows]
        self.alive = [self.alive[i] for i in keep]
        self.cache.select(kept_rows)


def generate(
    model: SpeechLlamaForCausalLM,
    requests: Sequence[Request],
    generators: torch.Generator | Sequence[torch.Generator],
    options: DecodingOptions | None = None,
    layout: Layout | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> list[Generated]:
    """Decode a batch to its end; arguments as for `Decoder`.

    Args:
        on_step: Called after each step, for example to move a progress bar.

    Returns:
        One result per request, in order.
    """
    frames: list[list[Tensor]] = [[] for _ in requests]
    stopped = [False] * len(requests)
    for step in Decoder(model, requests, generators, options, layout):
        for index, latent, stops in zip(step.rows, step.latents, step.stopped, strict=True):
            frames[index].append(latent)
            stopped[index] = stops
        if on_step is not None:
            on_step(step)
    return [Generated(torch.stack(f), s) for f, s in zip(frames, stopped, strict=True)]
