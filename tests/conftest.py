"""Settings of every test run: no network, no threads to fight over, a quiet transformers."""

import os

# Read by huggingface_hub when it is imported, so set before anything else is.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from hypothesis import settings
from transformers.utils import logging as transformers_logging

torch.set_num_threads(1)
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

# Seeded, so that a failure comes back; no deadline, since the first example warms torch up.
settings.register_profile("sled", derandomize=True, deadline=None, max_examples=30, database=None)
# Of fuzzing at length: pytest --hypothesis-profile=fuzz tests/normalization/test_fuzz.py
settings.register_profile("fuzz", deadline=None, max_examples=100_000, database=None)
settings.load_profile("sled")
