"""Rounds matrices to four bits, so that their outputs change little.

The inputs of a matrix are rounded one after another. The error of each is compensated in the
inputs that follow, as well as the recorded inputs of the matrix allow (GPTQ, arXiv 2210.17323,
algorithm 1, in the order of the inputs).

Shapes: N outputs, K inputs, G groups, S inputs of a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from sled.fast.int4.matrix import ZERO, Int4Matrix
from sled.model.lm import SpeechLM

# Inputs that share a scale, as in int8.
GROUP = 128
# Factors on the scale with which the largest weight of a group is just a code. One below 1 clips
# that weight, and rounds all others more finely.
SHRINKAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
# Added to the squares of all inputs, as a share of their mean: inputs that were hardly ever seen
# must not be compensated with large weights.
DAMPING = 0.01


def layer_matrices(model: SpeechLM) -> Iterator[tuple[str, nn.Linear]]:
    """The matrices of the layers, with their names in a checkpoint.

    Those of the head are not among them: rounding them to four bits moves frames more than
    rounding all layers does.
    """
    for name, module in model.model.layers.named_modules(prefix="model.layers"):
        if isinstance(module, nn.Linear):
            yield f"{name}.weight", module


@torch.no_grad()
def round_layers(
    model: SpeechLM, moments: Mapping[str, Tensor] | None = None, group: int = GROUP
) -> dict[str, Int4Matrix]:
    """Round the matrices of the layers.

    Args:
        model: The model, on the CPU.
        moments: [K, K] sums of the products of any two inputs of each matrix, by its name. None:
            each weight is rounded to the nearest code.
        group: Inputs that share a scale.
    """
    return {
        name: round_matrix(linear.weight, None if moments is None else moments[name], group)
        for name, linear in layer_matrices(model)
    }


def round_matrix(weight: Tensor, moments: Tensor | None = None, group: int = GROUP) -> Int4Matrix:
    """Round a matrix [N, K]; arguments as for `round_layers`."""
    left = weight.detach().double()
    width = left.shape[1]
    squares, spread = torch.ones(width), None
    if moments is not None:
        squares, spread = moments.diagonal().float(), _spread(moments)
        left = left.clone()
    codes = torch.empty(weight.shape, dtype=torch.uint8)
    scales = []
    for begin in range(0, width, group):
        end = min(begin + group, width)
        scale = _scales(left[:, begin:end].float(), squares[begin:end])
        scales.append(scale)
        if spread is None:
            codes[:, begin:end] = _codes(left[:, begin:end], scale)
            continue
        errors = torch.empty(len(left), end - begin, dtype=torch.float64)
        for k in range(begin, end):
            code = _codes(left[:, k : k + 1], scale)
            error = (left[:, k : k + 1] - (code.double() - ZERO) * scale) / spread[k, k]
            left[:, k + 1 : end] -= error * spread[k, k + 1 : end]
            codes[:, k : k + 1], errors[:, k - begin : k - begin + 1] = code, error
        left[:, end:] -= errors @ spread[begin:end, end:]
    return Int4Matrix(codes, torch.cat(scales, 1), group)


def _spread(moments: Tensor) -> Tensor:
    """How the error of an input is spread over those that follow: [K, K], upper triangular."""
    moments = moments.double()
    squares = moments.diagonal()
    mean = squares.mean()
    damped = moments + torch.diag((squares == 0) + DAMPING * mean.where(mean > 0, 1.0))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    spread: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return spread


def _codes(weight: Tensor, scale: Tensor) -> Tensor:
    """The nearest codes of weights [N, S]."""
    return ((weight / scale).round_() + ZERO).clamp_(0, 15).to(torch.uint8)


def _scales(weight: Tensor, squares: Tensor) -> Tensor:
    """Scales [N, 1] of a group [N, S], of which inputs count by `squares`: those of least error."""
    # There is one more negative code than positive ones. The sign of the scale gives it to the side
    # of the largest weight.
    extreme = weight.gather(1, weight.abs().argmax(1, keepdim=True))
    whole = extreme / -ZERO
    whole = whole.where(whole != 0, 1.0)
    candidates = torch.stack([shrinkage * whole for shrinkage in SHRINKAGES])  # [C, N, 1]
    errors = torch.stack(
        [
            ((_codes(weight, scale).float() - ZERO) * scale - weight).square_() @ squares
            for scale in candidates
        ]
    )  # [C, N]
    best = errors.argmin(0)
    return candidates[best, torch.arange(len(weight))]
