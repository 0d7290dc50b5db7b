"""On a GPU, captured steps give the units of the plain form.

Tolerances are of ||ours - theirs|| / ||theirs|| over whole utterances that continue from their own
frames: 1e-4 in float32, because the order of sums differs, and in bfloat16 three times the bound of
a single frame (`BOUNDS` of test_forms.py).
"""

import threading

import pytest
import torch

from sled.benchmarks.fidelity import measure_fidelity
from sled.decoding import Decoder, DecodingOptions, Request, generate
from sled.fast import make_fast
from sled.fast.cuda_graph import CudaGraphModel, repeat_eagerly
from sled.model.interface import FrameModel
from tests.debug import LAYOUT_IDS, LAYOUTS, debug_model, randn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TEXTS = [[0, 17, 45, 81, 17, 99, 23, 2], [0, 33, 2], [0, *range(5, 30), 2]]
TOLERANCE = 1e-4

both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def endless(frames: int, **others: object) -> DecodingOptions:
    return DecodingOptions(stop_threshold=2.0, max_frames=frames, **others)


def on_gpu(seed: int = 0, **changes: object) -> FrameModel:
    return make_fast(debug_model(seed, **changes).cuda(), "float32")


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours.cpu() - theirs.cpu()).norm() / theirs.cpu().norm())


def speak(model: FrameModel, options: DecodingOptions) -> torch.Tensor:
    """Frames of a ragged batch, of which one has a prompt."""
    prompts = [None, randn(30, 32).to(model.device), None]
    requests = [Request(text, prompt) for text, prompt in zip(TEXTS, prompts, strict=True)]
    generated = generate(model, requests, [seeded(row) for row in range(3)], options)
    return torch.stack([one.units.float() for one in generated])


@both_layouts
@pytest.mark.parametrize("cfg", [1.0, 2.0])
@pytest.mark.parametrize("kv_heads", [4, 1])
def test_graphs_give_the_units_of_the_plain_form(layout, cfg, kv_heads):
    options = endless(100, cfg=cfg, draws=3)
    sizes = {**layout, "num_key_value_heads": kv_heads}
    model = on_gpu(**sizes)
    assert isinstance(model, CudaGraphModel)
    theirs = speak(debug_model(**sizes).cuda(), options)
    assert error(speak(model, options), theirs) < TOLERANCE


def test_replaying_a_graph_equals_running_its_work():
    options = endless(30)
    ours = speak(on_gpu(), options)
    theirs = speak(CudaGraphModel(debug_model().cuda(), repeat_eagerly), options)
    assert error(ours, theirs) < 1e-6


@both_layouts
def test_bfloat16_changes_frames_by_little(layout):
    model = make_fast(debug_model(**layout).cuda(), "bfloat16")
    plain = debug_model(**layout).cuda()
    fidelity = measure_fidelity(plain, model, [Request(text) for text in TEXTS], num_frames=30)
    assert 0 < fidelity.forced < 0.03
    assert fidelity.free < 0.09


@both_layouts
def test_other_utterances_have_no_influence(layout):
    """Utterances join and leave, so the sizes of steps change, and the cache grows."""
    model = on_gpu(**layout)
    decoder = Decoder(model)
    watched = decoder.join(Request(TEXTS[2]), seeded(0), endless(150))
    frames = []
    while watched in decoder.utterances:
        if len(frames) % 3 == 0:
            options = endless(60, cfg=1.0 + len(frames) % 2, draws=1 + len(frames) % 4)
            decoder.join(Request(TEXTS[2]), seeded(7), options)
        step = decoder.step()
        frames.append(step.units[step.utterances.index(watched)])
    (alone,) = generate(model, [Request(TEXTS[2])], [seeded(0)], endless(150))
    assert error(torch.stack(frames), alone.units) < TOLERANCE


def test_another_thread_may_work_while_a_step_is_captured():
    """The codec's thread does, on a separate stream."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work_aside() -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                while not stop.is_set():
                    torch.randn(997, 997, device="cuda").square().sum().item()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work_aside)
    thread.start()
    try:
        ours = speak(on_gpu(), endless(20))
    finally:
        stop.set()
        thread.join()
    assert not failures
    assert error(ours, speak(debug_model().cuda(), endless(20))) < TOLERANCE


def test_a_step_waits_for_the_gpu_once():
    """Only to read which utterances have stopped."""
    decoder = Decoder(on_gpu())
    for seed in range(5):
        decoder.join(Request(TEXTS[0]), seeded(seed), endless(50))
    for _ in range(3):
        decoder.step()
    waits = []
    to_cpu = torch.Tensor.cpu
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.MonkeyPatch.context() as patch:

            def cpu(tensor: torch.Tensor) -> torch.Tensor:
                waits.append(tensor.shape)
                torch.cuda.set_sync_debug_mode("default")
                copy = to_cpu(tensor)
                torch.cuda.set_sync_debug_mode("error")
                return copy

            patch.setattr(torch.Tensor, "cpu", cpu)
            decoder.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert waits == [(5,)]
