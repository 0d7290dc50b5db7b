"""The language model of CosyVoice2 in the decoding loop and in sessions."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sled.decoding import Decoder, DecodingOptions, Request, Utterance, generate
from sled.model.layout import Layout
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.tts import TTS
from tests.debug import debug_prompt, debug_waveform
from tests.ids import debug_id_codec
from tests.tokens import (
    SPEECH,
    SlowSampler,
    debug_cosyvoice2,
    debug_token_tokenizer,
    guided_cosyvoice2,
    speak_streaming,
    speak_whole,
)

TEXT = "four two seven one nine"
BEGIN_SPEECH = 300
# Two chunks and a part of one: the slow definition reads all again for each id.
texts = st.lists(st.integers(4, 299), min_size=1, max_size=7)


def decode(
    text: list[int],
    cuts: list[int],
    generator: torch.Generator,
    layout: Layout | None,
    prompt_text: list[int] | None = None,
    prompt_speech: list[int] | None = None,
    temperature: float = 1.0,
    model: CosyVoice2LM | None = None,
) -> list[int]:
    """The ids of a text that is fed in pieces; as much is spoken as each piece allows."""
    model = model or debug_cosyvoice2()
    options = replace(DecodingOptions.of_model(model.config), temperature=temperature)
    decoder, spoken = Decoder(model), []
    prompt = None if not prompt_speech else torch.tensor(prompt_speech)
    begun = prompt_text or []
    request = Request(begun, prompt, False, len(begun))
    utterance: Utterance = decoder.join(request, generator, options, layout)
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for number, piece in enumerate(pieces):
        is_last = number == len(pieces) - 1
        decoder.feed(utterance, piece + [BEGIN_SPEECH] * is_last, ended=is_last)
        while (step := decoder.step()) is not None:
            for unit, stopped in zip(step.units, step.stopped, strict=True):
                spoken += [] if stopped else [int(unit)]
            if not decoder.utterances:
                return spoken
    raise AssertionError("speech has not ended")


@given(
    text=texts,
    cuts=st.lists(st.integers(0, 7), max_size=4).map(sorted),
    seed=st.integers(0, 10_000),
    prompt=st.none() | st.tuples(texts, st.lists(st.integers(0, SPEECH - 1), min_size=1)),
)
@settings(max_examples=20, deadline=None)
def test_a_whole_text_gives_the_published_ids_however_it_is_cut(text, cuts, seed, prompt):
    cuts = [min(cut, len(text)) for cut in cuts]
    model = debug_cosyvoice2()
    sampler = SlowSampler(seed, model.config.speaking.sampling(), 1.0)
    expected = speak_whole(model, text, sampler, *(prompt or ()))
    generator = torch.Generator().manual_seed(seed)
    assert decode(text, cuts, generator, Layout(), *(prompt or ())) == expected
    assert generator.get_state().equal(sampler.generator.get_state())


@given(
    text=texts,
    cuts=st.lists(st.integers(0, 7), max_size=4).map(sorted),
    seed=st.integers(0, 10_000),
    prompt=st.none() | st.tuples(texts, st.lists(st.integers(0, SPEECH - 1), min_size=1)),
    temperature=st.sampled_from([0.0, 1.0]),
    model=st.sampled_from([debug_cosyvoice2(), guided_cosyvoice2()]),
)
@settings(max_examples=40, deadline=None)
def test_a_growing_text_gives_the_published_ids_however_it_is_cut(
    text, cuts, seed, prompt, temperature, model
):
    cuts = [min(cut, len(text)) for cut in cuts]
    if prompt is not None:
        chunks = -(-len(prompt[1]) // 4)
        assume(3 * chunks <= len(prompt[0]) + len(text))
    options = DecodingOptions.of_model(model.config)
    sampler = SlowSampler(seed, options.sampling, temperature)
    expected = speak_streaming(model, text, sampler, *(prompt or ((), ())), cfg=options.cfg)
    generator = torch.Generator().manual_seed(seed)
    layout = model.streaming_layout
    ours = decode(text, cuts, generator, layout, *(prompt or ((), ())), temperature, model)
    assert ours == expected
    assert generator.get_state().equal(sampler.generator.get_state())


def test_chunks_of_speech_end_early_when_the_model_asks_for_text():
    """Else the test above would not see that."""
    model = debug_cosyvoice2()

    def ends_a_chunk_early(seed: int) -> bool:
        sampler = SlowSampler(seed, model.config.speaking.sampling(), 1.0)
        spoken = speak_streaming(model, list(range(4, 8)), sampler)
        return len(spoken) > 0 and SPEECH + 2 in sampler.past[:4]

    assert any(ends_a_chunk_early(seed) for seed in range(20))


@pytest.mark.parametrize("layout", [Layout(), Layout(3, 4)], ids=["offline", "stream"])
def test_a_batch_gives_the_ids_of_each_text_alone(layout):
    model, options = debug_cosyvoice2(), DecodingOptions.of_model(debug_cosyvoice2().config)
    requests = [Request([*range(4, 4 + size), BEGIN_SPEECH]) for size in (9, 1, 5, 12)]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(len(requests))]

    together = generate(model, requests, generators(), options, layout)
    for request, generator, ours in zip(requests, generators(), together, strict=True):
        [alone] = generate(model, [request], [generator], options, layout)
        assert ours.units.equal(alone.units)
        assert ours.stopped == alone.stopped


@pytest.mark.parametrize("streaming", [False, True], ids=["offline", "stream"])
@pytest.mark.parametrize("with_voice", [False, True])
@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=5).map(sorted))
@settings(max_examples=3, deadline=None)
def test_a_session_says_the_published_ids(streaming, with_voice, cuts):
    model = debug_cosyvoice2()
    tokenizer = debug_token_tokenizer(model)
    tts = TTS(model, tokenizer, debug_id_codec())
    layout = model.streaming_layout if streaming else None
    voice = None
    prompt: tuple[list[int], ...] = ()
    if with_voice:
        voice = tts.make_voice(debug_prompt("one four one", debug_waveform(0.1)), layout)
        prompt = (tokenizer.encode("one four one")[:-1], voice.units.tolist())
    sampler = SlowSampler(5, model.config.speaking.sampling(), 1.0)
    said = f"one four one {TEXT}" if with_voice else TEXT
    text = tokenizer.encode(said)[len(prompt[0]) if prompt else 0 : -1]
    speak = speak_streaming if streaming else speak_whole
    expected = speak(model, text, sampler, *prompt)
    with tts.open_session(seed=5, voice=voice, layout=layout) as session:
        for start, stop in zip([0, *cuts], [*cuts, len(TEXT)], strict=True):
            session.feed(TEXT[start:stop])
        session.flush()
        units = [chunk.units for chunk in session.chunks()]
    assert torch.cat(units).tolist() == expected


def test_a_voice_file_is_used_as_the_voice_itself(tmp_path):
    model = debug_cosyvoice2()
    tts = TTS(model, debug_token_tokenizer(model), debug_id_codec())
    voice = tts.make_voice(debug_prompt("one four one", debug_waveform(0.1)))
    tts.save_voice(voice, tmp_path / "voice")
    loaded = tts.load_voice(tmp_path / "voice")
    audio = [tts.say(TEXT, prompt=one, seed=1).audio for one in (voice, loaded)]
    assert (audio[0] == audio[1]).all()


def test_a_saved_utterance_continues_with_the_same_ids():
    """Between any two frames, in another decoder."""
    model = debug_cosyvoice2()
    layout, options = model.streaming_layout, DecodingOptions.of_model(model.config)
    request = Request([*range(4, 16), BEGIN_SPEECH])
    [whole] = generate(model, [request], [torch.Generator().manual_seed(3)], options, layout)
    decoder = Decoder(model)
    utterance = decoder.join(request, torch.Generator().manual_seed(3), options, layout)
    units = []
    while True:
        step = decoder.step()
        assert step is not None
        units += step.units.tolist()
        if not decoder.utterances:
            break
        state = decoder.save(decoder.utterances[0])
        decoder = Decoder(model)
        decoder.restore(state)
    assert units == whole.units.tolist()
    assert utterance.num_written <= len(units)


def test_guidance_and_conditions_are_refused():
    model = debug_cosyvoice2()
    with pytest.raises(ValueError, match="no guidance"):
        Decoder(model).join(Request([4, BEGIN_SPEECH]), options=DecodingOptions(cfg=2.0))
    with pytest.raises(ValueError, match="no conditions; speaker"):
        model.embed_conditions({"speaker": torch.zeros(3)})
