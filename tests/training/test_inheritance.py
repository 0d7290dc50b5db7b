"""What training on from a checkpoint takes over from it."""

import subprocess
from pathlib import Path

import pytest

from sled.bundled import bundled_voice
from sled.training.arguments import make_parser
from sled.training.inheritance import Inheritance
from tests.commands import run
from tests.debug import GOLDENS, STREAM, debug_checkpoint


def test_training_settings_are_those_of_the_configuration(tmp_path: Path) -> None:
    own = {**STREAM, "dropout": 0.25, "training_cfg": 0.3, "history_noise": 0.5}
    own |= {"scheduled_sampling": 0.4}
    own |= {"score": "gaussian_mmd", "score_samples": 3}
    checkpoint = debug_checkpoint(tmp_path / "model", **own)
    inherited = Inheritance.of(checkpoint, GOLDENS / "codec")
    parsed = vars(make_parser().parse_args(inherited.train_flags))
    assert {name: parsed[name] for name in own} == own
    assert parsed["alignment_weight"] == 0
    assert inherited.align_flags is None


def test_an_offline_checkpoint_stays_offline(tmp_path: Path) -> None:
    flags = Inheritance.of(debug_checkpoint(tmp_path / "model"), GOLDENS / "codec").train_flags
    parsed = make_parser().parse_args(flags)
    assert (parsed.stream_n, parsed.stream_m) == (None, None)


@pytest.mark.parametrize(
    ("name", "align_flags"),
    [("english", ["--text_normalization=english-phonemes"]), ("digits", [])],
)
def test_the_bundled_voices_are_told_which_token_is_said(name: str, align_flags: list[str]) -> None:
    folder = bundled_voice(name).folder
    inherited = Inheritance.of(folder, folder / "codec")
    assert inherited.align_flags == align_flags
    assert "--alignment_weight=1" in inherited.train_flags
    assert inherited.batch_frames == 750  # 40 s, of frames that are four of the codec's


def test_a_shell_reads_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = bundled_voice("english").folder, tmp_path / "settings.sh"
    assert (
        run("inherit_settings", "--model", folder, "--codec", folder / "codec", "--output", output)
        == 0
    )
    assert capsys.readouterr().out == output.read_text()
    script = f'source {output}; echo "$ALIGN:$ALIGN_FLAGS:$DEFAULT_BATCH_FRAMES:$INHERITED_FLAGS"'
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    align, flags, frames, train = told.strip().split(":")
    assert (align, flags, frames) == ("1", "--text_normalization=english-phonemes", "750")
    assert train.split() == Inheritance.of(folder, folder / "codec").train_flags
