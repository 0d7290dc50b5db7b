"""The codec of speech tokens: a speech tokenizer, and back by a flow and a vocoder.

Units are ids, for Step-Audio rows of two. Decoding is conditioned on a speaker vector, and on a
prompt: the tokens and the mel spectrogram of a recording, which the speech continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import Codec, StreamingEncoder
from sled.codec.features import ANALYSIS_RATE, MEL_22K, MEL_24K, MelSettings, log_mel, resample
from sled.codec.flow.base import FlowPrompt, SpeechFlow, WholeFlow, no_prompt
from sled.codec.flow.cosyvoice2 import FRAMES_PER_TOKEN, ChunkedFlow
from sled.codec.speech_tokens.tokenizer import NetworkTokenizer, SpeechTokenizer
from sled.codec.stream_state import StreamState
from sled.codec.token_codec.files import TokenNetworks
from sled.codec.token_codec.streaming import (
    ChunkStreamingDecoder,
    TokenStreamingDecoder,
    WholeStreamingDecoder,
)
from sled.files.digest import tensor_digest

# Names of conditions.
SPEAKER, PROMPT_TOKENS, PROMPT_MEL = "speaker", "prompt_tokens", "prompt_mel"
# As `SPEAKER`, for the codec alone: the language model is not given it.
OWN_SPEAKER = "codec_speaker"
# Tokens that a tokenizer gives less than there are frames, at most.
_ROUNDING = 2


class TokenCodec(Codec):
    """A codec whose units are speech tokens.

    Args:
        networks: Its parts. They are moved to the device, and must not change any more.
        device: Where to run it.

    Raises:
        ValueError: If they do not fit each other.
    """

    unit_dtype = torch.long
    num_codebooks = 1
    own_conditions = frozenset({SPEAKER, OWN_SPEAKER, PROMPT_TOKENS, PROMPT_MEL})
    prompt_conditions = frozenset({PROMPT_TOKENS, PROMPT_MEL})

    def __init__(self, networks: TokenNetworks, device: str | torch.device = "cpu") -> None:
        self.device, self.networks = torch.device(device), networks
        self._flow = networks.flow.to(self.device).eval().requires_grad_(False)
        vocoder = networks.vocoder.to(self.device).eval().for_inference()
        self._vocoder, sizes = vocoder.requires_grad_(False), vocoder.sizes
        self.sample_rate = sizes.sampling_rate
        samples = self.sample_rate / self._flow.token_rate
        self.hop_length = round(samples)
        if self.hop_length != samples or sizes.in_channels != self._flow.num_mels:
            raise ValueError(
                f"a flow of {self._flow.token_rate:g} tokens a second and {self._flow.num_mels} "
                f"mel bands does not fit a vocoder of {self.sample_rate} Hz and "
                f"{sizes.in_channels} bands: use the two of one model"
            )
        if (
            isinstance(self._flow, ChunkedFlow)
            and FRAMES_PER_TOKEN * vocoder.hop_length != self.hop_length
        ):
            raise ValueError(
                f"the flow makes {FRAMES_PER_TOKEN} mel frames for {self.hop_length} samples, the "
                f"vocoder has frames of {vocoder.hop_length}: use the two of one model"
            )
        if networks.tokenizer is not None:
            _check_tokenizer(networks.tokenizer, self._flow)
        for name, prompt in networks.prompts.items():
            _check_prompt(name, prompt, self._flow)
        self.unit_shape = self._flow.token_shape
        self.codebook_size = self._flow.vocab_size

    @override
    def digest(self) -> str:
        tokenizer = self.networks.tokenizer
        # What the codes mean is said by the tokenizer; by the flow, if there is none.
        network = tokenizer.network if isinstance(tokenizer, NetworkTokenizer) else self._flow
        return tensor_digest(sorted(network.state_dict().items()))

    @override
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        tokenizer = self.networks.tokenizer
        if tokenizer is None:
            raise ValueError(
                "the codec has no speech tokenizer, so it cannot read recordings: put the "
                "speech_tokenizer_v2.onnx of the model into its folder"
            )
        for waveform in waveforms:
            if waveform.ndim != 1 or len(waveform) == 0:
                raise ValueError(f"a clip must be [samples], not empty; got {list(waveform.shape)}")
        clips = [self._for_analysis(waveform) for waveform in waveforms]
        tokens = zip(tokenizer.encode(clips), waveforms, strict=True)
        return [
            self._of_length(one, self.num_frames(len(waveform)))[None].to(self.device)
            for one, waveform in tokens
        ]

    @staticmethod
    def _of_length(tokens: Tensor, count: int) -> Tensor:
        """Tokens [count]; tokenizers round in their own ways, so the last one may be repeated.

        Raises:
            ValueError: If more than a few are missing.
        """
        if not len(tokens) or count - len(tokens) > _ROUNDING:
            raise ValueError(
                f"the speech tokenizer gives {len(tokens)} tokens for a clip of {count}: use the "
                "tokenizer of the model"
            )
        index = torch.arange(count).clamp(max=len(tokens) - 1)
        return tokens[index]

    def _for_analysis(self, waveform: Tensor) -> Tensor:
        return resample(waveform.cpu().float(), self.sample_rate, ANALYSIS_RATE)

    @override
    def codes_to_units(self, codes: Tensor) -> Tensor:
        if codes.shape[-2] != self.num_codebooks:
            raise ValueError(f"codes must be [..., 1, frames], got {list(codes.shape)}")
        return codes[..., 0, :].to(self.device)

    @override
    def units_to_codes(self, units: Tensor) -> Tensor:
        return units[..., None, :].to(self.device)

    @override
    def conditions_of(self, waveform: Tensor, units: Tensor) -> dict[str, Tensor]:
        encoder, mel = self.networks.speaker_encoder, log_mel(waveform.float(), self.mel_settings)
        conditions = {PROMPT_TOKENS: units, PROMPT_MEL: mel.to(self.device)}
        if encoder is not None:
            conditions[SPEAKER] = encoder.encode(self._for_analysis(waveform)).to(self.device)
        return conditions

    @override
    def encode_prompt(self, waveform: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, conditions = super().encode_prompt(waveform)
        # The language model and the flow read the same tokens.
        prompt = self._prompt(1, {name: one[None] for name, one in conditions.items()})
        [tokens], [mel] = prompt.tokens, prompt.mel
        return tokens, conditions | {PROMPT_TOKENS: tokens, PROMPT_MEL: mel}

    @property
    @override
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted(self.networks.speakers))

    @override
    def conditions_of_speaker(self, name: str) -> dict[str, Tensor]:
        conditions = {SPEAKER: self.networks.speakers[name].to(self.device)}
        if (prompt := self.networks.prompts.get(name)) is not None:
            conditions[PROMPT_TOKENS] = prompt.tokens[0].to(self.device)
            conditions[PROMPT_MEL] = prompt.mel[0].to(self.device)
        return conditions

    @override
    def recording_of_speaker(self, name: str) -> tuple[tuple[int, ...], Tensor]:
        prompt, text = self.networks.prompts.get(name), self.networks.texts.get(name)
        if prompt is None or text is None:
            return super().recording_of_speaker(name)
        return tuple(text.tolist()), prompt.tokens[0].to(self.device)

    @override
    def kept_from_model(self, conditions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {OWN_SPEAKER if name == SPEAKER else name: one for name, one in conditions.items()}

    @property
    def mel_settings(self) -> MelSettings:
        """The mel spectrogram between flow and vocoder."""
        return MEL_22K if self._vocoder.hop_length == MEL_22K.hop_length else MEL_24K

    @override
    def continue_recording(
        self, units: Tensor, conditions: Mapping[str, Tensor]
    ) -> tuple[StreamState, int]:
        if PROMPT_MEL not in conditions:
            return super().continue_recording(units, conditions)
        batch = {name: one[None] for name, one in conditions.items()}
        stream = self.stream_decoder(1, {PROMPT_TOKENS: units[None]} | batch)
        stream.decode(units[None, :0])
        # The stream begins after the recording, of which no sample is to come.
        return stream.state, len(units) * self.hop_length

    @override
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        stream = self.stream_decoder(len(units), conditions)
        return torch.cat((stream.decode(units), stream.finish()), -1)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> TokenStreamingDecoder:
        """See `Codec.stream_decoder`.

        Args:
            batch_size: B.
            conditions: `speaker` or `codec_speaker` [B, W]; without it, the stored one if there is
                one only, with its recording, else that of no speaker. `prompt_tokens` [B, P] and
                `prompt_mel` [B, M, G]: a recording that the speech continues; of a stream that has
                started they are ignored.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        conditions, flow = conditions or {}, self._flow
        if not conditions.keys() & {SPEAKER, OWN_SPEAKER} and len(self.speakers) == 1:
            stored = self.conditions_of_speaker(self.speakers[0])
            all_rows = {name: one.expand(batch_size, *one.shape) for name, one in stored.items()}
            conditions = all_rows | dict(conditions)
        speaker = conditions.get(OWN_SPEAKER, conditions.get(SPEAKER))
        if speaker is None:
            speaker = torch.zeros(batch_size, flow.speaker_size)
        if speaker.shape != (batch_size, flow.speaker_size):
            raise ValueError(
                f"speaker vectors must be [{batch_size}, {flow.speaker_size}], got "
                f"{list(speaker.shape)}: use the speaker encoder of the model"
            )
        speaker = speaker.to(self.device, torch.float32)
        parts = (
            self._vocoder,
            self.networks.settings,
            speaker,
            self._prompt(batch_size, conditions),
        )
        if isinstance(flow, ChunkedFlow):
            return ChunkStreamingDecoder(flow, *parts)
        assert isinstance(flow, WholeFlow)
        return WholeStreamingDecoder(flow, *parts)

    def _prompt(self, batch_size: int, conditions: Mapping[str, Tensor]) -> FlowPrompt:
        if PROMPT_TOKENS not in conditions:
            return no_prompt(self._flow, batch_size)
        tokens, mel = conditions[PROMPT_TOKENS], conditions[PROMPT_MEL]
        if isinstance(self._flow, ChunkedFlow):
            # Both may have been rounded in their own way.
            count = min(tokens.shape[1], mel.shape[-1] // FRAMES_PER_TOKEN)
            tokens, mel = tokens[:, :count], mel[..., : FRAMES_PER_TOKEN * count]
        return FlowPrompt(tokens.to(self.device), mel.to(self.device, torch.float32))

    @override
    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        raise ValueError("speech tokenizers see whole recordings: use `encode`")


def _check_prompt(name: str, prompt: FlowPrompt, flow: SpeechFlow) -> None:
    """Make sure that a flow can continue the recording of a stored speaker.

    Raises:
        ValueError: If it cannot.
    """
    tokens, mel = prompt.tokens, prompt.mel
    fits = tokens.shape[2:] == flow.token_shape and mel.shape[:2] == (1, flow.num_mels)
    known = not tokens.numel() or 0 <= int(tokens.min()) <= int(tokens.max()) < flow.vocab_size
    if not (fits and known):
        raise ValueError(
            f"the recording of the stored speaker {name!r} has tokens {list(tokens.shape)} and mel "
            f"frames {list(mel.shape)} that the flow does not know: use those of one model"
        )


def _check_tokenizer(tokenizer: SpeechTokenizer, flow: SpeechFlow) -> None:
    """Make sure that a flow reads the tokens of a tokenizer.

    Raises:
        ValueError: If it does not.
    """
    # That of an ONNX file is counted over a few seconds.
    if abs(tokenizer.token_rate - flow.token_rate) > 0.5:
        raise ValueError(
            f"the speech tokenizer gives {tokenizer.token_rate:g} tokens a second, the flow reads "
            f"{flow.token_rate:g}: use the two of one model, or correct input_frame_rate in the "
            "configuration of the flow"
        )
    # Rows of two tokens are numbered in another way.
    size = tokenizer.vocab_size if flow.token_shape == () else None
    if size is not None and size > flow.vocab_size:
        raise ValueError(
            f"the speech tokenizer has {size} different tokens, the flow {flow.vocab_size}: use "
            "the two of one model"
        )
