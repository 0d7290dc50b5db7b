"""The codec of speech tokens: streams, prompts, and folders."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.codec import StreamState, load_codec
from sled.codec.flow.base import FlowPrompt, no_prompt
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.step import StepFlow
from sled.codec.folder import CodecParts
from sled.codec.speech_tokens.files import load_speech_tokenizer
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from sled.codec.token_codec.settings import TokenCodecSettings
from sled.codec.vocoder.hift import HiFT, HiFTSizes
from tests.codec.encodec.test_streaming import cuts, decode_pieces
from tests.codec.flow.models import cosyvoice2_flow, cosyvoice_flow, random_tokens
from tests.codec.token_codec.models import RATES, SETTINGS, token_codec, token_networks
from tests.debug import GOLDENS, randn

TOKENIZER = GOLDENS / "token-data" / "s3_v1_25hz"

each = pytest.mark.parametrize("name", RATES)
streamed = pytest.mark.parametrize("name", ["flow_v2", "step_flow"])


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


def tokens_for(codec: TokenCodec, batch: int, count: int, seed: int = 0) -> Tensor:
    return random_tokens(codec.networks.flow, batch, count, seed)


@each
@settings(max_examples=5)
@given(sizes=cuts(20, 6), batch=st.integers(1, 2), seed=st.integers(0, 99))
def test_pieces_are_the_whole(name: str, sizes: list[int], batch: int, seed: int) -> None:
    codec = token_codec(name)
    units = tokens_for(codec, batch, sum(sizes), seed)
    whole = codec.decode(units)
    assert whole.shape == (batch, sum(sizes) * codec.hop_length)
    assert relative_error(decode_pieces(codec, units, sizes), whole) < 1e-5


@streamed
def test_says_what_comes_out_when(name: str) -> None:
    codec = token_codec(name)
    stream, samples = codec.stream_decoder(), 0
    for frames, token in enumerate(tokens_for(codec, 1, 60).split(1, 1), 1):
        samples += stream.decode(token).shape[1]
        assert samples == stream.samples_after(frames)
        assert (samples > 0) == (frames > stream.lookahead_frames)


def test_speech_is_that_of_flow_and_vocoder() -> None:
    networks = token_networks()
    everything = replace(networks, settings=replace(SETTINGS, left_frames=-1))
    codec, flow = TokenCodec(everything), cosyvoice2_flow()
    units, speaker = tokens_for(codec, 2, 33), randn(2, 16)
    prompt = FlowPrompt(tokens_for(codec, 2, 7, 1), randn(2, 80, 14))
    for given_speech, conditions in (
        (no_prompt(flow, 2), {SPEAKER: speaker}),
        (
            prompt,
            {SPEAKER: speaker, PROMPT_TOKENS: prompt.tokens, PROMPT_MEL: prompt.mel},
        ),
    ):
        mel = flow.generate(units, speaker, given_speech, SETTINGS.solver, streaming=True)
        waveform, _ = networks.vocoder(mel)
        # Rounding errors of frequencies add up in the phases.
        assert relative_error(codec.decode(units, conditions), waveform) < 1e-3


def test_whole_utterances_are_those_of_flow_and_vocoder() -> None:
    codec, units, speaker = (
        token_codec("flow_v1"),
        tokens_for(token_codec("flow_v1"), 1, 50),
        randn(1, 16),
    )
    flow = codec.networks.flow
    assert isinstance(flow, CosyVoiceFlow)
    mel, _ = flow.generate(units, speaker, no_prompt(flow, 1), SETTINGS.solver)
    waveform, _ = codec.networks.vocoder(mel)
    decoded = codec.decode(units, {SPEAKER: speaker})
    assert relative_error(decoded[:, : waveform.shape[1]], waveform) < 1e-5


@each
def test_speech_that_continues_a_recording_is_that_with_a_prompt(name: str) -> None:
    codec = token_codec(name)
    prompt, units = tokens_for(codec, 1, 8, 1), tokens_for(codec, 1, 31, 2)
    conditions = {SPEAKER: randn(16), PROMPT_MEL: randn(80, 17)}
    state, num_samples = codec.continue_recording(prompt[0], conditions)
    assert num_samples == 8 * codec.hop_length
    stream = codec.stream_decoder(1, {SPEAKER: conditions[SPEAKER][None]})
    stream.state = state
    pieces = [*map(stream.decode, units.split((20, 11), 1)), stream.finish()]
    batch = {name: one[None] for name, one in conditions.items()}
    whole = codec.decode(units, batch | {PROMPT_TOKENS: prompt})
    assert relative_error(torch.cat(pieces, 1), whole) < 1e-5


@each
def test_no_tokens_are_no_sound(name: str) -> None:
    codec = token_codec(name)
    nothing = tokens_for(codec, 2, 5)[:, :0]
    assert codec.decode(nothing, {SPEAKER: randn(2, 16)}).shape == (2, 0)


@streamed
def test_rows_can_be_joined_and_kept(name: str) -> None:
    codec = token_codec(name)
    units, speaker = tokens_for(codec, 2, 70), randn(2, 16)
    states = []
    for row in range(2):
        stream = codec.stream_decoder(1, {SPEAKER: speaker[row : row + 1]})
        stream.decode(units[row : row + 1, :40])
        states.append(stream.state)
    both = codec.stream_decoder(2, {SPEAKER: speaker})
    both.state = StreamState.cat(states)
    joined = torch.cat((both.decode(units[:, 40:]), both.finish()), 1)
    whole = codec.decode(units, {SPEAKER: speaker})
    # Rounding errors of frequencies add up in the phases.
    assert relative_error(joined, whole[:, -joined.shape[1] :]) < 1e-2


@pytest.mark.parametrize("left_frames", [0, 30])
@pytest.mark.parametrize("prompt", [0, 5])
def test_streams_join_only_where_their_chunks_have_the_same_sizes(
    left_frames: int, prompt: int
) -> None:
    """Step-Audio's first chunks differ; with few frames in view, states do not show it else."""
    networks = token_networks("step_flow")
    assert isinstance(networks.flow, StepFlow)
    networks.flow.sizes = replace(networks.flow.sizes, chunk_sizes=(20, 20, 8))
    networks = replace(networks, settings=replace(SETTINGS, left_frames=left_frames))
    codec = TokenCodec(networks)
    recording = {
        PROMPT_TOKENS: tokens_for(codec, 1, prompt, 1),
        PROMPT_MEL: randn(1, 80, 2 * prompt),
    }
    conditions = {SPEAKER: randn(1, 16)} | (recording if prompt else {})
    units = tokens_for(codec, 1, 90)
    states = []
    for fed in (23, 43, 51, 59):  # one to four chunks, and the look-ahead
        stream = codec.stream_decoder(1, conditions)
        stream.decode(units[:, :fed])
        states.append(stream.state)

    def rest_of(state: StreamState) -> Tensor:
        rows = {
            name: one.expand(len(state.waiting), *one.shape[1:]) for name, one in conditions.items()
        }
        stream = codec.stream_decoder(len(state.waiting), rows)
        stream.state = state
        tail = units[:, 60:].expand(len(state.waiting), -1, -1)
        return torch.cat((stream.decode(tail), stream.finish()), 1)

    alone, joined = [rest_of(state) for state in states], 0
    for first, second in combinations(range(len(states)), 2):
        if states[first].kind() == states[second].kind():
            both = rest_of(StreamState.cat([states[first], states[second]]))
            # Rounding errors of frequencies add up in the phases.
            assert relative_error(both, torch.cat((alone[first], alone[second]))) < 1e-2
            joined += 1
    assert joined


def test_the_speaker_and_the_settings_matter() -> None:
    codec, units = token_codec(), tokens_for(token_codec(), 1, 20)
    usual = codec.decode(units)
    assert relative_error(codec.decode(units, {SPEAKER: randn(1, 16)}), usual) > 1e-3
    for solver in ({"steps": 3}, {"guidance": 0.0}, {"temperature": 0.5}, {"schedule": "uniform"}):
        changed = replace(SETTINGS, solver=replace(SETTINGS.solver, **solver))
        other = TokenCodec(replace(token_networks(), settings=changed))
        assert relative_error(other.decode(units), usual) > 1e-3


@each
def test_folders_hold_the_whole_codec(name: str, tmp_path: Path) -> None:
    networks = token_networks(name)
    speakers = {"ann": randn(16)}
    CodecParts(replace(networks, speakers=speakers)).save(tmp_path / "ours")
    published = tmp_path / "published"
    published.mkdir()
    again = load_codec(tmp_path / "ours")
    assert isinstance(again, TokenCodec)
    assert again.networks.settings == SETTINGS
    assert again.networks.speakers["ann"].equal(speakers["ann"])
    units = tokens_for(again, 1, 12)
    spoken = token_codec(name).decode(units, {"speaker": speakers["ann"][None]})
    assert relative_error(again.decode(units), spoken) < 1e-4  # the only voice is the default


def test_published_folders_load(tmp_path: Path) -> None:
    networks = token_networks("step_flow")
    torch.save(networks.flow.state_dict(), tmp_path / "flow.pt")
    with pytest.raises(ValueError, match="holds no codec"):
        load_codec(tmp_path)
    torch.save(networks.vocoder.state_dict(), tmp_path / "hift.pt")
    torch.save({"ann": {"embedding": randn(1, 16)}}, tmp_path / "spk2info.pt")
    codec = load_codec(tmp_path)
    assert isinstance(codec, TokenCodec)
    assert codec.networks.settings == TokenCodecSettings()
    assert codec.networks.speakers["ann"].equal(randn(1, 16)[0])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ('"steps": 0', "steps"),
        ('"left_frames": 3', "left_frames"),
        ('"guidance": "much"', "guidance"),
        ('"schedule": "random"', "schedule"),
    ],
)
def test_impossible_settings_are_refused(change: str, word: str, tmp_path: Path) -> None:
    CodecParts(token_networks()).save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().rstrip("}\n") + f", {change}}}")
    with pytest.raises(ValueError, match=word):
        load_codec(tmp_path)


def test_parts_that_do_not_fit_are_refused() -> None:
    other = token_networks("flow_v1").vocoder
    with pytest.raises(ValueError, match="use the two of one model"):
        TokenCodec(replace(token_networks(), vocoder=other))


def test_a_published_model_of_25_tokens_a_second_speaks(tmp_path: Path) -> None:
    """Its flow and its vocoder are those of 50 tokens a second; the speech tokenizer tells."""
    torch.manual_seed(0)
    sizes = replace(cosyvoice_flow().sizes, vocab_size=64)
    sizes = replace(sizes, estimator=replace(sizes.estimator, num_heads=8, attention_head_dim=3))
    torch.save(CosyVoiceFlow(sizes).state_dict(), tmp_path / "flow.pt")
    vocoder = HiFTSizes(
        base_channels=16,
        f0_channels=8,
        sampling_rate=22_050,
        upsample_rates=(8, 8),
        upsample_kernel_sizes=(16, 16),
        source_resblock_kernel_sizes=(7, 11),
        source_resblock_dilation_sizes=((1, 3, 5),) * 2,
        sinegen="1",
    )
    torch.save(HiFT(vocoder).state_dict(), tmp_path / "hift.pt")
    shutil.copytree(TOKENIZER, tmp_path / "tokenizer")
    codec = load_codec(tmp_path)
    assert isinstance(codec, TokenCodec)
    assert codec.frame_rate == codec.networks.flow.token_rate == 25
    [codes] = codec.encode([randn(22_050)])
    assert codes.shape == (1, 25)
    assert codec.decode(codec.codes_to_units(codes)[None]).shape == (1, 22_050)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    tokenizer = load_speech_tokenizer(TOKENIZER)  # 25 tokens a second, 64 different ones
    networks = replace(token_networks("flow_v1"), tokenizer=tokenizer)
    with pytest.raises(ValueError, match="tokenizer gives 25 tokens a second, the flow reads 50"):
        TokenCodec(networks)
    tokenizer.token_rate = 50.25  # counted over 4 s
    with pytest.raises(ValueError, match="64 different tokens, the flow 60"):
        TokenCodec(networks)


def test_a_tokenizer_may_give_a_token_or_two_less_than_there_are_frames() -> None:
    tokenizer = load_speech_tokenizer(TOKENIZER)
    codec = TokenCodec(replace(token_networks(), tokenizer=tokenizer))
    hop = codec.hop_length
    samples = [1, 200, hop, 7 * hop + 1, 7 * hop + 239, 8 * hop - 1, 7 * codec.sample_rate + 1]
    clips = [randn(count) for count in samples]
    lengths = [codes.shape[1] for codes in codec.encode(clips)]
    assert lengths == [codec.num_frames(count) for count in samples]

    def half(mels: list[Tensor]) -> list[Tensor]:
        return [torch.zeros(mel.shape[1] // 8, dtype=torch.long) for mel in mels]

    tokenizer.encode_features = half  # type: ignore[method-assign, assignment]
    with pytest.raises(ValueError, match="gives 12 tokens for a clip of 25"):
        codec.encode([randn(24_000)])


def zero_shot(seed: int, **changes: Tensor) -> dict[str, Tensor]:
    """An entry of `spk2info.pt` with all that a recording gives, as published."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(81, (1, 9), generator=generator, dtype=torch.int32)
    vector = randn(1, 16, seed=seed)
    return {
        "prompt_text": tokens,
        "prompt_text_len": torch.tensor([9]),
        "llm_prompt_speech_token": tokens,
        "flow_prompt_speech_token": tokens,
        "flow_prompt_speech_token_len": torch.tensor([9]),
        "prompt_speech_feat": randn(1, 18, 80, seed=seed),
        "llm_embedding": vector,
        "flow_embedding": vector,
    } | changes


def published_with_speakers(folder: Path, speakers: dict[str, dict[str, Tensor]]) -> Path:
    networks = token_networks("flow_v2")
    folder.mkdir()
    flow = networks.flow
    assert isinstance(flow, CosyVoice2Flow)
    estimator = replace(flow.sizes.estimator, num_heads=8, attention_head_dim=3)
    torch.save(
        CosyVoice2Flow(replace(flow.sizes, estimator=estimator)).state_dict(), folder / "flow.pt"
    )
    torch.save(networks.vocoder.state_dict(), folder / "hift.pt")
    torch.save(speakers, folder / "spk2info.pt")
    return folder


def test_the_recording_of_a_stored_speaker_is_continued(tmp_path: Path) -> None:
    plain, whole = {"embedding": randn(1, 16, seed=3)}, zero_shot(5)
    codec = load_codec(
        published_with_speakers(tmp_path / "published", {"ann": plain, "ben": whole})
    )
    assert isinstance(codec, TokenCodec)
    assert codec.conditions_of_speaker("ann").keys() == {SPEAKER}
    conditions = codec.conditions_of_speaker("ben")
    assert conditions[SPEAKER].equal(whole["llm_embedding"][0])
    assert conditions[PROMPT_TOKENS].tolist() == whole["flow_prompt_speech_token"][0].tolist()
    assert conditions[PROMPT_MEL].equal(whole["prompt_speech_feat"][0].T)
    assert codec.recording_of_speaker("ann")[0] == ()
    text, tokens = codec.recording_of_speaker("ben")
    assert list(text) == whole["prompt_text"][0].tolist()
    assert tokens.equal(conditions[PROMPT_TOKENS])
    units = tokens_for(codec, 2, 20)
    batch = {name: torch.stack([one, one]) for name, one in conditions.items()}
    spoken = codec.decode(units, batch)
    assert relative_error(spoken, codec.decode(units, {SPEAKER: batch[SPEAKER]})) > 1e-3

    # Our folders hold it too, and a speaker alone is the default, with the recording.
    networks = replace(codec.networks, speakers={"ben": conditions[SPEAKER]})
    CodecParts(networks).save(tmp_path / "ours")
    again = load_codec(tmp_path / "ours")
    assert relative_error(again.decode(units), spoken) < 1e-4
    assert again.recording_of_speaker("ben")[0] == text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prompt_speech_feat": torch.zeros(1, 18, 40)}, "recording of the stored speaker 'ben'"),
        ({"flow_prompt_speech_token": torch.full((1, 9), 81)}, "stored speaker 'ben'"),
        ({"flow_prompt_speech_token": "nine"}, "holds no speaker vectors"),
    ],
)
def test_a_stored_recording_that_does_not_fit_is_refused(changes, problem, tmp_path) -> None:
    folder = published_with_speakers(tmp_path / "published", {"ben": zero_shot(5, **changes)})
    with pytest.raises(ValueError, match=problem):
        load_codec(folder)


def test_speakers_that_were_stored_on_a_gpu_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as saving:
        saving.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        folder = published_with_speakers(tmp_path / "published", {"ben": zero_shot(5)})
    codec = load_codec(folder)
    assert isinstance(codec, TokenCodec)
    assert codec.networks.speakers["ben"].equal(randn(1, 16, seed=5)[0])


def test_bad_calls_are_refused() -> None:
    codec = token_codec()
    with pytest.raises(ValueError, match="no speech tokenizer"):
        codec.encode([torch.zeros(4800)])
    with pytest.raises(ValueError, match="must be integers"):
        codec.decode(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="speaker vectors must be"):
        codec.stream_decoder(1, {SPEAKER: torch.zeros(1, 4)})
    with pytest.raises(ValueError, match="batch_size"):
        codec.stream_decoder(0)


def test_a_single_stored_voice_is_the_default() -> None:
    networks, vector = token_networks(), randn(16)
    units = tokens_for(TokenCodec(networks), 2, 30)
    codec = TokenCodec(replace(networks, speakers={"anna": vector}))
    with_vector = codec.decode(units, {SPEAKER: vector.expand(2, -1)})
    assert codec.decode(units).equal(with_vector)
    two = TokenCodec(replace(networks, speakers={"anna": vector, "bert": -vector}))
    assert two.decode(units).equal(TokenCodec(networks).decode(units))
