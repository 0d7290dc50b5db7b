"""Settings of every test run: no network, one thread in each process, a quiet transformers.

All but those of hypothesis are environment variables, so that the processes that tests start have
them, too. They are read at import, so this file imports no library that reads them.
"""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "OMP_NUM_THREADS": "1",
}

# Seeded, so that a failure comes back; no deadline, since the first example warms torch up.
settings.register_profile("sled", derandomize=True, deadline=None, max_examples=30, database=None)
# Of fuzzing at length: pytest --hypothesis-profile=fuzz tests/normalization/test_fuzz.py
# It runs beside other work, so slow examples are no sign of anything.
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=100_000,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sled")


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Exempt what a process has imported from garbage collection.

    It is millions of objects. Training calls `gc.collect`, which would take half of the time of a
    run of debug size.
    """
    gc.collect()
    gc.freeze()
    yield
