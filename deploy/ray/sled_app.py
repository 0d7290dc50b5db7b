"""`sled serve` as a deployment of Ray Serve: `serve run sled_app:app`.

Each replica loads the model and serves all doors but Wyoming. Its settings are those of the
environment, as in SLED_MODEL=digits; REPLICA_CPUS, REPLICA_GPUS, MIN_REPLICAS and MAX_REPLICAS are
those of Ray. Ray's defaults are for short requests; those that are changed here say why.
"""

from __future__ import annotations

import asyncio
import math
import os
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.config import (
    AutoscalingConfig,
    AutoscalingContext,
    AutoscalingPolicy,
    BackpressureConfig,
)

from sled.cli.serve import make_server
from sled.serving.app import make_app
from sled.serving.settings import load_settings

# How busy replicas are to be, as a share of real time.
TARGET_LOAD = 0.6
LOAD = "sled_real_time_factor"
START_S = 600.0
SETTINGS = load_settings()


def scale(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """As many replicas as bring the mean load to the target.

    The number of requests, which Ray scales by, tells little: a WebSocket is one for hours, whether
    it speaks or not.
    """
    loads = context.aggregated_metrics.get(LOAD, {}).values()
    wanted = math.ceil(sum(loads) / TARGET_LOAD)
    low, high = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return max(low, min(high, wanted)), {}


@serve.deployment(
    ray_actor_options={
        "num_cpus": float(os.environ.get("REPLICA_CPUS", "2")),
        "num_gpus": float(os.environ.get("REPLICA_GPUS", "0")),
    },
    # Idle WebSockets count, and the replica itself refuses what it cannot speak (status 429).
    max_ongoing_requests=1000,
    # Without a limit, requests would wait for as long as it takes. Some have to wait for a moment
    # in any case, until their replica is chosen.
    max_queued_requests=200,
    backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
    # Listeners hear their speech to the end.
    graceful_shutdown_timeout_s=SETTINGS.drain_s,
    health_check_timeout_s=START_S,
    autoscaling_config=AutoscalingConfig(
        min_replicas=int(os.environ.get("MIN_REPLICAS", "1")),
        max_replicas=int(os.environ.get("MAX_REPLICAS", "4")),
        upscale_delay_s=30,
        downscale_delay_s=600,
        policy=AutoscalingPolicy(policy_function=scale),
    ),
)
@serve.ingress()
class Speech:
    """One replica: a model and its callers."""

    def __init__(self) -> None:
        self._server = make_server(SETTINGS)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self._server)

    async def check_health(self) -> None:
        """Wait until the model is loaded; from then on, check that its engine answers."""
        while not self._server.ready and self._server.failure is None:
            await asyncio.sleep(0.1)
        if not self._server.healthy:
            raise RuntimeError(f"the engine does not answer: {self._server.failure}")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """How busy the replica is; 0 if it speaks to nobody."""
        load = self._server.registry.get_sample_value(LOAD) or 0.0
        return {LOAD: load if self._server.active else 0.0}


app = Speech.bind()
