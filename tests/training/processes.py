"""Training in separate processes that can be killed, and that find each other as under torchrun.

They are forked from a server that has everything imported, so that they start quickly.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from torch import Tensor

from sled.model.heads import EnergyHead
from sled.training.batch_trainer import BatchTrainer
from sled.training.run import train
from sled.training.trainer import SledTrainer
from tests.commands import run_script

TIMEOUT_S = 400
ACCELERATE_CONFIGS = Path(__file__).parents[2] / "runs" / "accelerate"

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])

# Prepares a process before it trains; has to be picklable, such as a partial of those below.
Hook = Callable[[], None]


def run_ranks(
    world_size: int, argv: list[str], *hooks: Hook, script: str | None = None
) -> list[int | None]:
    """Train in so many processes together.

    Args:
        world_size: Number of processes.
        argv: The flags.
        hooks: Called in each process before it trains.
        script: Run scripts/<script>.py, with its defaults. None: train with the usual ones.

    Returns:
        Exit codes in the order of ranks: 0, 1 for an exception, -9 for a killed process.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world_size)}
    environments = [
        shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if world_size > 1 else {}
        for rank in range(world_size)
    ]
    processes = [
        _CONTEXT.Process(target=_work, args=(argv, environment, hooks, script))
        for environment in environments
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT_S)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def _work(
    argv: list[str], environment: dict[str, str], hooks: tuple[Hook, ...], script: str | None
) -> None:
    # As torchrun has it; unset, accelerate would choose as many as there are cores, and other
    # numbers of threads round differently.
    os.environ.update(environment | {"OMP_NUM_THREADS": "1"})
    torch.set_num_threads(1)
    # Data workers have to be this process's own children to notice its death.
    multiprocessing.set_start_method("fork", force=True)
    for hook in hooks:
        hook()
    if script is None:
        train(argv)
    elif (status := run_script(script, *argv)) != 0:
        raise SystemExit(status)


def die_in(method: str, call: int, trainer: type[BatchTrainer] = SledTrainer) -> None:
    """Have this process killed, as by kill -9, in the n-th call of a method of the trainer."""
    live: Callable[..., Any] = getattr(trainer, method)
    calls = count(1)

    def fatal(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return live(*args, **kwargs)

    setattr(trainer, method, fatal)


def share_noise() -> None:
    """Give all frames the same noise, so that it does not matter which process draws it."""

    def draw_noise(head: EnergyHead, num_frames: int, *args: Any, **kwargs: Any) -> Tensor:
        shape = (head.objective.score_samples, 1, head.architecture.noise_channels)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return noise.expand(-1, num_frames, -1)

    setattr(EnergyHead, "draw_noise", draw_noise)  # noqa: B010


def shard_on_cpu() -> None:
    """Do what `accelerate launch` does with our fsdp.yaml, but on CPUs, where it does not shard."""
    config = load_config_from_file(str(ACCELERATE_CONFIGS / "fsdp.yaml")).fsdp_config
    os.environ.update({key.upper(): str(value) for key, value in config.items()})
    os.environ["FSDP_TRANSFORMER_CLS_TO_WRAP"] = config["fsdp_transformer_layer_cls_to_wrap"]
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    torch.distributed.init_process_group("gloo")

    def prepare_backend(*args: Any, **kwargs: Any) -> tuple[str, DistributedType]:
        return "gloo", DistributedType.MULTI_GPU

    def set_device(state: PartialState) -> None:
        state.device = torch.device("cpu")

    PartialState._prepare_backend = prepare_backend
    PartialState.set_device = set_device
