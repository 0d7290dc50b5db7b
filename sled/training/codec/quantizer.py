"""Learning the codebooks of an Encodec model: k-means start, moving averages, dead entries."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.codec.encodec.network import Codebook, Quantizer

DEAD_SHARE = 0.1
"""An entry used less than this share of the average is given a new place."""


@dataclass(frozen=True)
class Quantized:
    """Result of one training pass through the quantizer.

    Attributes:
        latents: sum of the chosen embeddings [B, D, T]; gradients pass straight to the input.
        codes: chosen entries [K, B, T].
        commitment: squared error of each level over the latents' mean square, averaged; it moves
            the encoder only.
    """

    latents: Tensor
    codes: Tensor
    commitment: Tensor


class CodebookLearner:
    """Trains the codebook buffers of a quantizer in place.

    Entries follow the exponential moving average of the vectors assigned to them (van den Oord
    et al., 2017, appendix A.1); entries that go unused move to vectors of the current batch.

    Args:
        quantizer: the model's quantizer; its buffers are the state, which checkpoints contain.
        num_codebooks: number of its codebooks that are used.
        decay: of the moving averages.
        generator: source of the choices made in k-means and for dead entries.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        *,
        num_codebooks: int,
        decay: float,
        generator: torch.Generator,
    ) -> None:
        self.codebooks = quantizer.codebooks[:num_codebooks]
        self.decay = decay
        self.generator = generator

    def _pick(self, vectors: Tensor, count: int) -> Tensor:
        """`count` of the vectors [N, D], without repetition where N allows."""
        rounds = -(-count // len(vectors))
        order = [torch.randperm(len(vectors), generator=self.generator) for _ in range(rounds)]
        return vectors[torch.cat(order)[:count].to(vectors.device)]

    @torch.no_grad()
    def initialize(self, latents: Tensor, iterations: int = 10) -> None:
        """Initialize every level by k-means on the residual of the levels before it.

        Args:
            latents: encoder outputs [N, D]; N several times the codebook size.
            iterations: of Lloyd's algorithm.
        """
        residual = latents.float()
        for codebook in self.codebooks:
            size = len(codebook.embed)
            centres = self._pick(residual, size)
            for _ in range(iterations):
                codebook.embed.copy_(centres)
                nearest = codebook.encode(residual)
                counts, sums = _cluster_sums(residual, nearest, size)
                centres = torch.where(
                    counts[:, None] > 0,
                    sums / counts[:, None].clamp(min=1),
                    self._pick(residual, size),
                )
            codebook.embed.copy_(centres)
            # Averages are per training step; their scale cancels in embed = avg / size.
            codebook.cluster_size.fill_(1.0)
            codebook.embed_avg.copy_(centres)
            residual = residual - codebook.decode(codebook.encode(residual))

    def quantize(self, latents: Tensor, *, update: bool) -> Quantized:
        """Quantize encoder outputs, and update the codebooks from them if `update`.

        Args:
            latents: encoder outputs [B, D, T] in float32.
            update: move the codebooks towards this batch.
        """
        batch, dim, frames = latents.shape
        flat = latents.transpose(1, 2).reshape(-1, dim)
        power = flat.detach().square().mean()
        residual, codes, errors = flat, [], []
        for codebook in self.codebooks:
            with torch.no_grad():
                nearest = codebook.encode(residual)
                chosen = codebook.decode(nearest)
                if update:
                    self._update(codebook, residual.detach(), nearest)
            errors.append(F.mse_loss(residual, chosen) / power)
            residual = residual - chosen
            codes.append(nearest.view(batch, frames))
        # residual = flat - sum of embeddings, so this is their sum, with the input's gradient.
        summed = (flat - residual.detach()).view(batch, frames, dim).transpose(1, 2)
        return Quantized(summed, torch.stack(codes), torch.stack(errors).mean())

    def _update(self, codebook: Codebook, vectors: Tensor, nearest: Tensor) -> None:
        size = len(codebook.embed)
        counts, sums = _cluster_sums(vectors, nearest, size)
        codebook.cluster_size.lerp_(counts, 1 - self.decay)
        codebook.embed_avg.lerp_(sums, 1 - self.decay)
        expected = len(vectors) / size
        dead = codebook.cluster_size < DEAD_SHARE * expected
        if dead.any():
            codebook.cluster_size[dead] = expected
            codebook.embed_avg[dead] = expected * self._pick(vectors, int(dead.sum()))
        codebook.embed.copy_(codebook.embed_avg / codebook.cluster_size[:, None])


def _cluster_sums(vectors: Tensor, nearest: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Count [size] and sum [size, D] of the vectors [N, D] assigned to each entry."""
    counts = torch.bincount(nearest, minlength=size).to(vectors.dtype)
    sums = vectors.new_zeros(size, vectors.shape[1]).index_add_(0, nearest, vectors)
    return counts, sums
