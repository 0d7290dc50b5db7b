"""Makes what the small recipe starts from, and puts the result together.

Usage, in the folder of the run:

    python small.py corpora CORPUS...   joined manifests, and folders in the form of LibriTTS
    python small.py networks            random networks, of the sizes below
    python small.py vectors             one speaker vector for all utterances
    python small.py finish              the folder `model`, from which `sled speak` speaks
"""

import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from lhotse import CutSet, load_manifest_lazy
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from sled.codec.features import MEL_24K, log_mel
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow, CosyVoice2FlowSizes
from sled.codec.flow.encoder import UpsamplingSizes
from sled.codec.flow.files import load_flow, save_flow
from sled.codec.flow.unet import UNetSizes
from sled.codec.speaker.encoder import load_speaker_encoder
from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes
from sled.codec.speech_tokens.files import load_speech_tokenizer
from sled.codec.token_codec.files import TokenNetworks, save_networks
from sled.codec.vocoder.files import load_vocoder, save_vocoder
from sled.codec.vocoder.vocos import Vocos, VocosSizes
from sled.data.manifests import load_cuts
from sled.data.tokens.extraction import load_vectors
from sled.data.tokens.tables import read_vectors, write_table
from sled.model.tokens.files import load_token_lm, save_token_lm
from sled.training.flow.start import fit_output, fit_tokens

SPEAKER = 1
SPLITS = ("train", "valid", "test")
PRETRAINED = Path("pretrained")
QWEN2 = Qwen2Config(
    vocab_size=448,
    hidden_size=256,
    intermediate_size=704,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rope_theta=1e6,
)
FLOW = CosyVoice2FlowSizes(
    input_size=192,
    encoder=UpsamplingSizes(
        input_size=192,
        output_size=192,
        attention_heads=4,
        linear_units=768,
        num_blocks=2,
        num_up_blocks=1,
    ),
    estimator=UNetSizes(
        channels=(128,), attention_head_dim=64, num_heads=2, n_blocks=1, num_mid_blocks=2
    ),
)
VOCODER = VocosSizes()
# How the small language model speaks. The published way draws an id again, at random, if it was
# drawn in the last ten steps: so small a model then says many words wrong.
SPEAKING = {"temperature": 0.6, "cfg": 2.0, "repetition_window": 0}
# Random: there is one voice, and the language model of CosyVoice2 reads no speaker vector.
SPEAKER_ENCODER = SpeakerSizes(growth_rate=4, init_channels=16, block_layers=(1, 1, 1))


def write_corpora(corpora: list[Path]) -> None:
    """Join the corpora, and write them as LibriTTS has it."""
    for split in SPLITS:
        paths = [one / f"cuts_{split}.jsonl.gz" for one in corpora]
        cuts = [cut for path in paths if path.exists() for cut in load_cuts(path)]
        if not cuts:  # the recordings of a person have no test set
            continue
        random.Random(0).shuffle(cuts)  # the speech tokenizer validates on the first ones
        named = [cut.with_id(utterance_name(number)) for number, cut in enumerate(cuts)]
        CutSet.from_cuts(named).to_file(f"cuts_{split}.jsonl.gz")
        write_libritts(Path(f"cuts_{split}.jsonl.gz"), Path("LibriTTS") / split)


def make_networks() -> None:
    """Make the networks that are to be trained."""
    torch.manual_seed(0)
    Qwen2ForCausalLM(QWEN2).save_pretrained(PRETRAINED / "CosyVoice-BlankEN")
    encoder = SpeakerNetwork(SPEAKER_ENCODER).eval()
    save_file(encoder.state_dict(), PRETRAINED / "campplus.safetensors")
    flow = CosyVoice2Flow(FLOW)
    fit_tokens(flow)
    fit_output(flow, mel_spectrograms(Path("cuts_train.jsonl.gz"), 200))
    save_flow(flow, PRETRAINED / "flow")
    save_vocoder(Vocos(VOCODER), PRETRAINED / "hifigan")


def mel_spectrograms(manifest: Path, count: int) -> Iterator[torch.Tensor]:
    """Mel spectrograms of the first recordings of a manifest."""
    for cut in islice(load_manifest_lazy(manifest), count):
        waveform = torch.from_numpy(cut.load_audio())
        yield log_mel(waveform, MEL_24K)[0]


def utterance_name(number: int) -> str:
    """The name of an utterance, which LibriTTS also has for its files."""
    return f"{SPEAKER}_1_{number:06d}_000000"


def write_libritts(manifest: Path, folder: Path) -> None:
    """Write the texts of a manifest, and links to its recordings, as one chapter of LibriTTS.

    The links end in .wav, but lead to FLAC: what reads them looks at the content.
    """
    chapter = folder / str(SPEAKER) / "1"
    chapter.mkdir(parents=True, exist_ok=True)
    for cut in load_manifest_lazy(manifest):
        link = chapter / f"{cut.id}.wav"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(cut.recording.sources[0].source).absolute())
        text = cut.supervisions[0].text
        (chapter / f"{cut.id}.normalized.txt").write_text(text, encoding="utf-8")


def write_vectors() -> None:
    """Give all utterances the same speaker vector: there is one voice.

    To extract a vector from each of them takes longer than to extract their tokens.
    """
    compute = load_vectors(PRETRAINED / "campplus.safetensors")
    recordings = sorted(Path("LibriTTS/train").rglob("*.wav"))[:20]
    vector = np.mean([compute(one) for one in recordings], 0)
    for part in SPLITS:
        folder = Path("data") / part
        if folder.exists():
            names = [one.split()[0] for one in (folder / "utt2spk").read_text().splitlines()]
            write_table(folder / "utt2embedding.pt", dict.fromkeys(names, vector))
            write_table(folder / "spk2embedding.pt", {str(SPEAKER): vector})


def finish() -> None:
    """Put language model, flow, vocoder and tokenizers into one folder."""
    model, text = Path("model"), PRETRAINED / "CosyVoice-BlankEN"
    trained = {
        name: Path(f"exp/cosyvoice2/{name}/torch_ddp") for name in ("llm", "flow", "hifigan")
    }
    llm = load_token_lm(trained["llm"] / "llm.pt")
    llm.config.speaking = replace(llm.config.speaking, **SPEAKING)
    save_token_lm(llm, model)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(text / name, model)
    [vector] = read_vectors(Path("data/train/spk2embedding.pt")).values()
    networks = TokenNetworks(
        flow=load_flow(trained["flow"] / "flow.pt"),
        vocoder=load_vocoder(trained["hifigan"] / "hifigan.pt"),
        tokenizer=load_speech_tokenizer(PRETRAINED / "tokenizer"),
        speaker_encoder=load_speaker_encoder(PRETRAINED / "campplus.safetensors"),
        speakers={"teacher": torch.as_tensor(vector)},
    )
    save_networks(networks, model / "codec")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    match command:
        case "corpora":
            write_corpora(list(map(Path, arguments)))
        case "networks":
            make_networks()
        case "vectors":
            write_vectors()
        case "finish":
            finish()
        case _:
            sys.exit(f"{command}: choose from corpora, networks, vectors, finish")
