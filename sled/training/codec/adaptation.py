"""Adapting a codec's decoder to other voices, while all that decides its latents stays as it is."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sled.codec import CodecParts
from sled.codec.encodec.files import TRAINING_AVERAGES
from sled.codec.encodec.network import Encodec
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.learner import CodecLearner
from sled.training.codec.rescaling import rescale_output


class DecoderAdapter(CodecLearner):
    """A learner that starts in the last stage, from a codec that is there.

    Encoder and codebooks are never written to: the codec that comes out has the codes of the one
    that went in, and the same latents.

    Args:
        config: settings of the run.
        draw_batch: gives training segments on the configured device.
        generator: source of noise and of choices.
        origin: the codec; its model is changed in place.

    Raises:
        ValueError: if it is of a form that cannot be used.
    """

    def __init__(
        self,
        config: CodecTrainingConfig,
        draw_batch: Callable[[], Segments],
        generator: torch.Generator,
        origin: CodecParts,
    ) -> None:
        # Fewer may be used than there are: the decoder hears the sum of those.
        self._num_codebooks = origin.assemble(config.device).stored.num_codebooks
        self._origin = origin.model
        super().__init__(config, draw_batch, generator)
        self.quantizing = True

    @property
    def num_codebooks(self) -> int:
        return self._num_codebooks

    @property
    def latent_rms(self) -> float:
        assert self.latent_scale is not None
        return 1 / self.latent_scale

    def finished_model(self) -> Encodec:
        """The codec with the averaged decoder; latents are those of the codec it was."""
        return self.averaged_model()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: if it is of a run that started from another codec.
        """
        theirs, ours = _kept(state["model"]), _kept(self.model.state_dict())
        if theirs.keys() != ours.keys() or not all(ours[name].equal(theirs[name]) for name in ours):
            raise ValueError(
                f"{self.config.finetune_path} is not the codec that the run in "
                f"{self.config.output_dir} started from: choose another output_dir"
            )
        super().load_state_dict(state)

    def _make_model(self) -> Encodec:
        """The codec, its decoder at the level that weights learn best at."""
        model = self._origin.train().requires_grad_(True)
        rescale_output(model, 1 / self.waveform_scale)
        return model

    def _enter_stage(self, progress: float) -> None:
        if not self.frozen:
            self._freeze_latents()

    def _encode(self, waveforms: Tensor) -> Tensor:
        with self._autocast():
            return self.model.encoder(waveforms).float()

    def _hear_and_speak_at_true_level(self, model: Encodec) -> None:
        rescale_output(model, self.waveform_scale)


def _kept(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a codec's tensors those that adapting leaves as they are."""
    return {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith("decoder.") and not name.endswith(TRAINING_AVERAGES)
    }
