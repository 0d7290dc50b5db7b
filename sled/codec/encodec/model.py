"""Encodec (Défossez et al., 2022) behind the codec interface, and loading it from anywhere."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, EncodecConfig, EncodecModel
from transformers.utils import logging as transformers_logging
from typing_extensions import override

from sled.codec.base import Codec
from sled.codec.encodec.streaming import (
    EncodecStreamingDecoder,
    EncodecStreamingEncoder,
    StreamingNetwork,
)
from sled.files.digest import tensor_digest

PUBLISHED_NUM_CODEBOOKS = 8
"""6 kbps at 24 kHz. Published weights hold 32 codebooks; the rest is left unused."""

# As large as the codebooks themselves; a codec that speaks can do without.
TRAINING_AVERAGES = ".codebook.embed_avg"

# Names of the `encodec` package's state dict, and what transformers calls the same tensors.
_STATE_FILE_NAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv|convtr)\.\1\.", ".conv."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
)


class EncodecCodec(Codec):
    """A transformers `EncodecModel` as a codec.

    Args:
        model: mono model without loudness normalisation or chunking, as the 24 kHz one is.
        device: where to run it.
        num_codebooks: codebooks to use, at most; a codec that has fewer uses all of them.

    Raises:
        ValueError: if the model is of another kind (48 kHz stereo Encodec, for one).
    """

    def __init__(
        self,
        model: EncodecModel,
        device: str | torch.device = "cpu",
        num_codebooks: int = PUBLISHED_NUM_CODEBOOKS,
    ) -> None:
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise ValueError(
                "only mono Encodec models without normalisation and chunking are supported, as "
                f"facebook/encodec_24khz; this one has {config.audio_channels} channels, "
                f"normalize={config.normalize}, chunk_length_s={config.chunk_length_s}"
            )
        self.device = torch.device(device)
        self._model = model.to(self.device, torch.float32).eval().requires_grad_(False)
        self._codebooks = [level.codebook for level in model.quantizer.layers][:num_codebooks]
        self.sample_rate = config.sampling_rate
        self.hop_length = config.hop_length
        self.unit_shape = (config.hidden_size,)
        self.num_codebooks = len(self._codebooks)
        self.codebook_size = config.codebook_size

    @property
    def latent_dim(self) -> int:
        """Width D of a latent."""
        return self.unit_shape[0]

    @override
    def digest(self) -> str:
        tensors = dict(self._model.encoder.named_parameters())
        tensors |= {f"codebook.{k}": book.embed for k, book in enumerate(self._codebooks)}
        return tensor_digest(sorted(tensors.items()))

    @override
    @torch.no_grad()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return [self._encode_one(waveform) for waveform in waveforms]

    def _encode_one(self, waveform: Tensor) -> Tensor:
        if waveform.ndim != 1 or len(waveform) == 0:
            raise ValueError(f"a clip must be [samples], not empty; got {list(waveform.shape)}")
        with torch.autocast(self.device.type, enabled=False):
            samples = waveform.to(self.device, torch.float32)
            return self._quantize(self._model.encoder(samples[None, None])[0].T)

    def _quantize(self, features: Tensor) -> Tensor:
        """The encoder's output to codes, each frame for itself: [..., T, D] -> [..., K, T]."""
        residual = features
        codes = []
        with torch.autocast(self.device.type, enabled=False):
            for codebook in self._codebooks:
                codes.append(codebook.encode(residual))
                residual = residual - codebook.decode(codes[-1])
        return torch.stack(codes, -2)

    @override
    @torch.no_grad()
    def codes_to_units(self, codes: Tensor) -> Tensor:
        if codes.shape[-2] != self.num_codebooks:
            raise ValueError(
                f"codes must be [..., {self.num_codebooks}, frames], got {list(codes.shape)}"
            )
        latents = torch.zeros((), device=self.device)
        # In the order of the published implementation, to whose rounding we then agree.
        for level, codebook in enumerate(self._codebooks):
            latents = latents + codebook.decode(codes[..., level, :].to(self.device))
        return latents

    @override
    @torch.no_grad()
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            features = units.to(self.device, torch.float32).transpose(1, 2)
            return self._model.decoder(features).squeeze(1)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> EncodecStreamingDecoder:
        return EncodecStreamingDecoder(self._streaming_decoder, batch_size)

    @override
    def stream_encoder(self, batch_size: int = 1) -> EncodecStreamingEncoder:
        return EncodecStreamingEncoder(self._streaming_encoder, self._quantize, batch_size)

    # Shared by all streams: weight normalisation is done once, when the first one is asked for.
    @cached_property
    def _streaming_decoder(self) -> StreamingNetwork:
        return StreamingNetwork(self._model.decoder, self._model.config)

    @cached_property
    def _streaming_encoder(self) -> StreamingNetwork:
        return StreamingNetwork(self._model.encoder, self._model.config)


def load_encodec(name_or_path: str | Path) -> EncodecModel:
    """Load a model in float32, whatever precision it is stored in.

    Args:
        name_or_path: A folder written by `save_pretrained`, a name on the Hugging Face hub
            (`facebook/encodec_24khz`), or a `.th` state file of the `encodec` package.

    Raises:
        ValueError: If there is no such model, or its tensors are not those of its architecture.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return _load_state_file(path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"{path} holds no codec: it has no config.json")
        return _load_pretrained(path)
    # Names that can only be meant as paths are not looked up on the hub, which takes its time.
    if not re.fullmatch(r"[\w-]+/[\w.-]+", str(name_or_path)) or Path(path.parts[0]).is_dir():
        raise ValueError(
            f"no codec at {path}: give a folder, a .th file or a hub name such as "
            "facebook/encodec_24khz"
        )
    return _load_pretrained(str(name_or_path))


def _load_pretrained(source: str | Path) -> EncodecModel:
    """Read a folder or a hub repository."""
    try:
        config = AutoConfig.from_pretrained(source)
        if not isinstance(config, EncodecConfig):
            raise ValueError(f"{source} is no codec: its model_type is {config.model_type!r}")
        with _quiet_loading():  # what is wrong is told below
            model, report = EncodecModel.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except (OSError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"cannot load a codec from {str(source)!r}: {reason} "
            "(a folder or a .th file needs no connection)"
        ) from error
    _refuse_differences(
        source,
        missing={name for name in report["missing_keys"] if not name.endswith(TRAINING_AVERAGES)},
        unexpected=report["unexpected_keys"],
        misshapen=[
            f"{name} {list(got)} for {list(want)}" for name, got, want in report["mismatched_keys"]
        ],
    )
    return model


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep transformers from reporting what a file lacks that only training needs."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def _load_state_file(path: Path) -> EncodecModel:
    """Read the 24 kHz model's state dict as the `encodec` package stores it."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds on files that are not its own
        raise ValueError(f"{path} is no state file that torch can read: {error!r:.200}") from error
    if not isinstance(stored, Mapping) or not all(isinstance(v, Tensor) for v in stored.values()):
        raise ValueError(f"{path} is no state file: it must hold a dict of tensors by name")
    state = {_transformers_name(name): tensor for name, tensor in stored.items()}
    model = EncodecModel(EncodecConfig())
    expected = model.state_dict()
    _refuse_differences(
        path,
        missing=expected.keys() - state.keys(),
        unexpected=state.keys() - expected.keys(),
        misshapen=[
            f"{name} {list(state[name].shape)} for {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        ],
    )
    model.load_state_dict(state)
    return model


def _transformers_name(name: str) -> str:
    for pattern, replacement in _STATE_FILE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _refuse_differences(source: str | Path, **kinds: Collection[str]) -> None:
    """Raise a ValueError that lists the tensors of each kind of difference."""
    lists = [f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]
    if lists:
        raise ValueError(
            f"the tensors of {source} do not fit the Encodec architecture; " + "; ".join(lists)
        )
