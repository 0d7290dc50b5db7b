"""Heads that draw the next latent from a hidden state, and the scores that train them."""

from sled.model.heads.energy import EnergyHead
from sled.model.heads.scores import Score, energy_score, gaussian_mmd

__all__ = ["EnergyHead", "Score", "energy_score", "gaussian_mmd"]
