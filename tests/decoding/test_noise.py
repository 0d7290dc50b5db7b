"""Noise drawn ahead is the noise drawn frame by frame, and leaves no trace in the generators."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.decoding import Decoder, DecodingOptions, Request
from sled.decoding.noise import NoiseAhead
from tests.debug import debug_model


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_by_one(seed: int, count: int, width: int) -> list[torch.Tensor]:
    generator = seeded(seed)
    return [torch.randn(width, generator=generator) for _ in range(count)]


# Widths that torch can draw many frames of at once, and one that it cannot.
@pytest.mark.parametrize("width", [8, 16, 128])
@given(
    events=st.lists(st.sampled_from(["join", "leave", "save", "step", "draw"]), max_size=40),
    random=st.randoms(use_true_random=False),
)
def test_each_utterance_gets_the_noise_of_its_own_generator(width, events, random):
    """Also while utterances join, leave and are saved."""
    noise = NoiseAhead(width, frames=4)
    generators, taken = [], []  # by slot, and moved with the slots
    joined = 0
    for event in events:
        place = random.randrange(len(generators)) if generators else None
        if event == "join":
            generators.append(seeded(joined))
            taken.append((joined, []))
            noise.add(generators[-1])
            joined += 1
        elif event == "step":
            for frame, (_, frames) in zip(noise.peek(), taken, strict=True):
                frames.append(frame)
            noise.advance()
        elif event == "draw":
            noise.draw()
        elif place is not None:
            generator, (seed, frames) = generators[place], taken[place]
            if event == "leave":
                noise.remove(place)
                generators[place], taken[place] = generators[-1], taken[-1]
                del generators[-1], taken[-1]
            else:
                noise.rewind(place)
            following = one_by_one(seed, len(frames) + 1, width)[-1]
            torch.testing.assert_close(
                torch.randn(width, generator=generator), following, rtol=0, atol=0
            )
            if event == "save":  # which does not move it
                generator.manual_seed(seed)
                for _ in frames:
                    torch.randn(width, generator=generator)
    for seed, frames in taken:
        for ours, theirs in zip(frames, one_by_one(seed, len(frames), width), strict=True):
            assert torch.equal(ours, theirs)


def test_the_buffers_of_utterances_that_joined_together_are_refilled_in_different_steps():
    """If all were refilled in the same step, that step would be slow."""
    noise = NoiseAhead(16, frames=8)
    for seed in range(16):
        noise.add(seeded(seed))
    noise.peek()
    noise.advance()
    for _ in range(20):
        before = noise._next[:16].copy()
        noise.draw()
        assert (before != noise._next[:16]).sum() == 2
        noise.peek()
        noise.advance()


def test_utterances_that_share_a_generator_continue_its_noise():
    """As the segments of a session do. Noise drawn ahead but not used goes to the next one."""
    model = debug_model(noise_channels=16)
    options = DecodingOptions(stop_threshold=2.0, max_frames=5)
    seen = []
    draw = model.draw
    model.draw = lambda hidden, noise: seen.append(noise) or draw(hidden, noise)
    generator, decoder = seeded(3), Decoder(model)
    for _ in range(3):
        decoder.join(Request([0, 5, 6, 2]), generator, options)
        while decoder.utterances:
            decoder.step()
    torch.testing.assert_close(torch.cat(seen), torch.stack(one_by_one(3, 15, 16)), rtol=0, atol=0)


def test_without_a_generator_noise_comes_from_the_global_one():
    noises = []
    for _ in range(2):
        torch.manual_seed(5)
        noise = NoiseAhead(16)
        noise.add(None)
        noise.add(None)
        noises.append(noise.peek())
    assert torch.equal(*noises)
    assert not torch.equal(noises[0][0], noises[0][1])
