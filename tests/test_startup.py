"""What a fresh process imports: nothing to import sled, and little to speak."""

import subprocess
import sys

import pytest

import sled

SPEAK = """
from sled import TTS
for model in ("digits", "english"):
    tts = TTS.from_pretrained(model)
    assert tts.say("four two").seconds > 0.5
    with tts.open_session() as session:
        session.feed("one")
        session.flush()
        assert sum(len(audio) for audio in session) > 0
"""
# Slow to import, and not needed to speak. torch._dynamo is what compiles models.
NOT_NEEDED = {
    "accelerate",
    "datasets",
    "huggingface_hub",
    "lhotse",
    "num2words",
    "onnxruntime",
    "pandas",
    "requests",
    "scipy",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch._inductor",
    "transformers",
}


def imported_by(code: str) -> set[str]:
    """Names of the modules of a fresh process after it has run the code."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_speaking_imports_only_what_it_needs() -> None:
    """With either of the bundled models."""
    assert imported_by(SPEAK) & NOT_NEEDED == set()


def test_words_outside_the_table_need_no_speech_synthesis() -> None:
    code = "from sled.normalization import normalize; normalize('zyzzyva', 'english-phonemes')"
    modules = imported_by(code)
    assert "onnxruntime" in modules
    assert modules & {"hibari", "scipy", "torch"} == set()


def test_importing_sled_imports_no_library() -> None:
    libraries = {"numpy", "torch", "soundfile", "tokenizers", "tqdm"}
    assert imported_by("import sled; dir(sled); sled.__version__") & libraries == set()


def test_names_are_imported_when_they_are_used() -> None:
    modules = imported_by("from sled import Layout; Layout(1, 2)")
    assert "sled.model.layout" in modules
    assert "sled.tts" not in modules


def test_all_names_exist() -> None:
    assert set(sled.__all__) <= set(dir(sled))
    assert all(getattr(sled, name) is not None for name in sled.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Tts'"):
        _ = sled.Tts  # type: ignore[attr-defined]
