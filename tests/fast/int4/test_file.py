"""The file of weights in four bits."""

from pathlib import Path

from sled.fast.int4 import round_layers, write_int4
from tests.debug import debug_model


def test_whoever_reads_other_files_of_the_folder_reads_it_too(tmp_path: Path) -> None:
    model = debug_model()
    other = tmp_path / "other"
    other.touch()
    path = write_int4(tmp_path, model, round_layers(model))
    assert path.stat().st_mode == other.stat().st_mode
    assert set(tmp_path.iterdir()) == {path, other}
