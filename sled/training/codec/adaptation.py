"""Adapting the decoder of a codec to other voices; encoder, codebooks and latents do not change."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec import CodecParts
from sled.codec.encodec.files import TRAINING_AVERAGES
from sled.codec.encodec.network import Encodec
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.encodec import EncodecLearner
from sled.training.codec.rescaling import rescale_output


class DecoderAdapter(EncodecLearner):
    """A learner that starts in the last stage, from an existing codec.

    It never writes to encoder and codebooks: codes and latents stay those of the existing codec.

    Args:
        config: settings of the run.
        draw_batch: gives training segments on the configured device.
        generator: source of noise and of choices.
        origin: the codec; its model is changed in place.

    Raises:
        ValueError: if the codec cannot be used.
    """

    def __init__(
        self,
        config: CodecTrainingConfig,
        draw_batch: Callable[[], Segments],
        generator: torch.Generator,
        origin: CodecParts,
    ) -> None:
        # A codec may use fewer codebooks than it has; the decoder gets the sum of those used.
        self._num_codebooks = origin.assemble(config.device).stored.num_codebooks
        assert isinstance(origin.model, Encodec)
        self._origin = origin.model
        super().__init__(config, draw_batch, generator)
        self.quantizing = True

    @property
    @override
    def _most_codebooks(self) -> int:
        return self._num_codebooks

    @property
    @override
    def latent_rms(self) -> float:
        assert self.latent_scale is not None
        return 1 / self.latent_scale

    @override
    def finished_model(self) -> Encodec:
        """The codec with the averaged decoder; latents are those of the existing codec."""
        return self.averaged_model()

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`.

        Raises:
            ValueError: if it belongs to a run that started from another codec.
        """
        theirs, ours = _kept(state["model"]), _kept(self.model.state_dict())
        if theirs.keys() != ours.keys() or not all(ours[name].equal(theirs[name]) for name in ours):
            raise ValueError(
                f"{self.config.finetune_path} is not the codec that the run in "
                f"{self.config.output_dir} started from: choose another --output"
            )
        super().load_state_dict(state)

    @override
    def _make_model(self) -> Encodec:
        """The codec, its decoder rescaled to the level at which weights are trained."""
        model = self._origin.train().requires_grad_(True)
        rescale_output(model, 1 / self.waveform_scale)
        return model

    @override
    def _enter_stage(self, progress: float) -> None:
        if not self.frozen:
            self._freeze_latents()

    @override
    def _encode(self, waveforms: Tensor) -> Tensor:
        with self._autocast():
            latents: Tensor = self.model.encoder(waveforms)
        return latents.float()

    @override
    def _rescale_to_true_level(self, model: Encodec) -> None:
        rescale_output(model, self.waveform_scale)


def _kept(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a codec that adaptation does not change."""
    return {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith("decoder.") and not name.endswith(TRAINING_AVERAGES)
    }
