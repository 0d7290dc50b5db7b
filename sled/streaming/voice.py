"""Voices: a recording and its transcript, prepared once so that speech starts without delay.

Preparing encodes the recording, lets the model read its text and units (keys and values are kept),
and runs the codec's decoder through its units (the state is kept).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from sled.codec import Codec
from sled.codec.stream_state import StreamState
from sled.codec.transforms import TokenChannel
from sled.decoding import Decoder, DecodingOptions, Request, UtteranceState
from sled.decoding.prompt_tokens import prompt_tokens
from sled.model.cache import CachedRow
from sled.model.interface import FrameModel
from sled.model.layout import Layout
from sled.streaming.recording import Audio
from sled.streaming.spoken import Spoken
from sled.streaming.voice_file import VoiceFile
from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import TextTokenizer


@dataclass(frozen=True, eq=False)
class Prompt:
    """A recording to be continued, and the words in it.

    Attributes:
        text: Transcript of the recording. None: it is recognised, if faster-whisper is installed.
        audio: A path, the bytes of a file or a file open for reading, in any format that
            `sled.files.audio.read_audio` reads; or samples: floats or integers, mono or with
            channels, [S], [S, channels] or [channels, S].
        conditions: Vectors [width] by name that model or codec take in addition, such as a speaker
            embedding.
        sample_rate: The rate of samples, in Hz. None: that of the codec.
        instruction: What the model reads instead of the recording and its transcript: how to speak,
            or nothing (""), for speech in another language. Only the codec reads the recording, if
            it is one that speaks with the voice of a recording. None: the model reads both.
        as_recorded: Take recording and transcript as they are. By default, the recording is brought
            to the level of the model's training data, without a constant offset and with as much
            silence around the speech, and a transcript that cannot fit is refused.

    Raises:
        ValueError: If the transcript is blank.
    """

    text: str | None
    audio: Audio
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    sample_rate: int | None = None
    as_recorded: bool = False
    instruction: str | None = None

    def __post_init__(self) -> None:
        if self.text is not None and not self.text.strip():
            raise ValueError("the prompt has no text: give the words spoken in its audio")


def _no_model() -> None:
    """Stands in for the model of a voice that was pickled."""


@dataclass(frozen=True, eq=False)
class Voice:
    """A prompt that is prepared for one model and one codec.

    Attributes:
        text: Transcript of the recording, normalised.
        units: [P, ...] units of the recording.
        layout: The layout in which the model has read them.
        prefill: The model's state after the text and those final units (`Spoken.num_final`)
            that the layout puts before any further text; to be continued by `Decoder.restore` and
            `Decoder.extend_prompt`.
        codec_state: The codec's state after the units.
        num_samples: Samples that the codec has returned by then.
        model: Returns the model, which the voice does not keep alive.
        conditions: The conditions of the prompt.
        transcript: Transcript of the recording as it was given. Empty: not known.
        tokens: The token of the text that each unit says, as in `Spoken`, if the units have a token
            channel. None: not known.
        is_apart: Whether its text and what follows are encoded one by one, as in `Spoken`.
    """

    text: str
    units: Tensor
    layout: Layout
    prefill: UtteranceState
    codec_state: StreamState
    num_samples: int
    model: Callable[[], FrameModel | None]
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    transcript: str = ""
    tokens: Sequence[int] | None = None
    is_apart: bool = False

    @property
    def spoken(self) -> Spoken:
        """The recording as speech that is continued."""
        return Spoken.of_recording(self.text, self.units, self.tokens, self.is_apart)

    @property
    def num_positions(self) -> int:
        """Positions of the model that conditions, text and units take."""
        row = self.prefill.rows[0]
        return row.num_conditions + len(row.token_ids) + len(self.units)

    def check(self, model: FrameModel, layout: Layout) -> None:
        """Check that the voice can be used.

        Args:
            model: The model that is to speak.
            layout: The layout in which it is to speak.

        Raises:
            ValueError: If the voice was prepared for another model or another layout.
        """
        if self.model() is not model:
            raise ValueError("the voice was prepared for another model: prepare it for this one")
        if self.layout != layout:
            raise ValueError(
                f"the voice was prepared for {self.layout}, not {layout}: prepare it for that"
            )

    def __getstate__(self) -> dict[str, object]:
        """For pickle: the voice without its model, see `with_model`."""
        return {**self.__dict__, "model": _no_model}

    def with_model(self, model: FrameModel) -> Voice:
        """A voice that was pickled, for a model equal to its own; any other one as it is."""
        return replace(self, model=weakref.ref(model)) if self.model is _no_model else self

    @classmethod
    def prepare(
        cls,
        text: str,
        units: Tensor,
        *,
        model: FrameModel,
        tokenizer: TextTokenizer,
        codec: Codec,
        layout: Layout | None = None,
        conditions: Mapping[str, Tensor] | None = None,
        tokens: Sequence[int] | None = None,
    ) -> Generator[None, None, Voice]:
        """Let model and codec read a recording, piece by piece; for `Engine.run`.

        Args:
            text: Transcript of the recording, normalised.
            units: [P, ...] units of the recording.
            model: The model that will speak.
            tokenizer: Its tokenizer.
            codec: Its codec.
            layout: The layout to speak in. None: the checkpoint's own.
            conditions: Vectors [width] by name.
            tokens: The token that each unit says, as in `Spoken`. None: the model finds them, if
                the units have a token channel.

        Yields:
            Between two passes of the model.

        Returns:
            The voice.

        Raises:
            ValueError: If the recording leaves no positions for speech.
        """
        decoder = Decoder(model)
        conditions = conditions or {}
        given = model_conditions(model, codec, conditions)
        channel = codec.token_channel
        if channel is not None and tokens is None and len(units):
            growing = IncrementalTokenizer(tokenizer)
            ids = growing.feed(text) + growing.finish()
            request = Request(ids, units, conditions=given)
            tokens = yield from prompt_tokens(model, channel, request)
        spoken = Spoken.of_recording(text, units, tokens, tokenizer.encodes_prompts_apart)
        request = _prefill_request(spoken, tokenizer, channel, given)
        # Guidance needs a second row. Without guidance, it is left out later.
        decoder.join(request, options=DecodingOptions.with_all_rows(model), layout=layout)
        while decoder.read_some():
            yield
        prefill = decoder.save(decoder.utterances[0])
        return cls._assemble(
            text, spoken, layout or model.layout, prefill, model, codec, conditions
        )

    @classmethod
    def _assemble(
        cls,
        text: str,
        spoken: Spoken,
        layout: Layout,
        prefill: UtteranceState,
        model: FrameModel,
        codec: Codec,
        conditions: Mapping[str, Tensor],
    ) -> Voice:
        units = spoken.units.float() if spoken.units.is_floating_point() else spoken.units
        state, num_samples = codec.continue_recording(units, conditions)
        return cls(
            text,
            units,
            layout,
            prefill,
            state,
            num_samples,
            weakref.ref(model),
            conditions,
            tokens=spoken.tokens,
            is_apart=spoken.is_apart,
        )

    def save(
        self,
        path: str | Path,
        model_digest: str,
        codec: Codec,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Write a voice file.

        Args:
            path: The file.
            model_digest: Digest of the model's weights. No other model can use the file.
            codec: The codec. No other codec can use the file.
            notes: Further metadata of the file.
        """
        VoiceFile(
            text=self.text,
            transcript=self.transcript,
            units=self.units,
            conditions=self.conditions,
            tokens=self.tokens,
            layout=self.layout,
            token_ids=self.prefill.rows[0].token_ids,
            cached=self.prefill.cached,
            model_digest=model_digest,
            codec_digest=codec.digest(),
        ).write(path, notes)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: FrameModel,
        model_digest: str,
        tokenizer: TextTokenizer,
        codec: Codec,
    ) -> Voice:
        """Read a voice file.

        Args:
            path: The file.
            model: The model that is to speak.
            model_digest: Digest of its weights.
            tokenizer: Its tokenizer.
            codec: Its codec.

        Raises:
            ValueError: If there is no such file, it is broken, or it was made with another model,
                tokenizer or codec.
        """
        file = VoiceFile.read(Path(path))
        device = model.device
        conditions = {name: vector.to(device) for name, vector in file.conditions.items()}
        tokens = None if file.tokens is None else tuple(file.tokens)
        units, is_apart = file.units.to(device), tokenizer.encodes_prompts_apart
        spoken = Spoken.of_recording(file.text, units, tokens, is_apart)
        given = model_conditions(model, codec, conditions)
        request = _prefill_request(spoken, tokenizer, codec.token_channel, given)
        parts = {
            "model": (file.model_digest, model_digest),
            "codec": (file.codec_digest, codec.digest()),
            "tokenizer": (file.token_ids, list(request.token_ids)),
        }
        for part, (theirs, ours) in parts.items():
            if theirs != ours:
                raise ValueError(
                    f"{path} was made with another {part} (or in another precision): make it again "
                    "with `sled voices make`, with the same --dtype"
                )
        decoder = Decoder(model)
        utterance = decoder.join(
            request, options=DecodingOptions.with_all_rows(model), layout=file.layout
        )
        for row in utterance.rows:  # as after reading ahead
            del row.unread[:-1]
        cached = tuple(
            CachedRow(*(tensor.to(device) for tensor in file.cached[row]))
            for row in range(len(utterance.rows))
        )
        prefill = UtteranceState.of(utterance, cached)
        voice = cls._assemble(file.text, spoken, file.layout, prefill, model, codec, conditions)
        return replace(voice, transcript=file.transcript)


def model_conditions(
    model: FrameModel, codec: Codec, conditions: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Those conditions that the model is given: all but those that only the codec reads."""
    only_codec = codec.own_conditions - model.config.architecture.conditions.keys()
    return {name: one for name, one in conditions.items() if name not in only_codec}


def _prefill_request(
    spoken: Spoken,
    tokenizer: TextTokenizer,
    channel: TokenChannel | None,
    conditions: Mapping[str, Tensor],
) -> Request:
    """A request to continue a recording, without the units that depend on what follows.

    Args:
        spoken: The recording.
        tokenizer: Tokenizer of the model.
        channel: The units' token channel. None: they have none.
        conditions: Vectors [width] by name.
    """
    ids = spoken.feed_to(IncrementalTokenizer(tokenizer))
    units = spoken.within([*ids, -1], 1, len(ids), channel)[: spoken.num_final]
    return Request(ids, units, False, len(ids), conditions)
