"""Imports point one way: configuration, modules, model, inference, and only then evaluation."""

import ast
import gc
import weakref
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from sled.startup import without_garbage_collection

ROOT = Path(__file__).parents[1] / "sled"


class Cycle:
    """What only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


# Reviewed: what each part of the package may import of the others. The model knows no codec, the
# codec and the data know no model, and training speaks only so that one hears how it goes.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "normalization": set(),
    "checkpoint": set(),
    "text": {"normalization"},
    "digest": set(),
    "codec": {"digest"},
    "bundled": set(),
    "startup": set(),
    "compatibility": {"codec", "config", "text"},
    "layout": {"config"},
    "heads": {"config"},
    "backbone": {"config"},
    "cache": {"backbone", "config"},
    "guided_attention": {"layout"},
    "model": {
        "backbone",
        "cache",
        "checkpoint",
        "config",
        "digest",
        "guided_attention",
        "heads",
        "layout",
    },
    "data": {"codec", "normalization", "text"},
    "decoding": {"cache", "config", "heads", "layout"},
    "fast": {
        "backbone",
        "cache",
        "config",
        "decoding",
        "digest",
        "heads",
        "layout",
        "model",
    },
    "streaming": {
        "cache",
        "codec",
        "config",
        "decoding",
        "layout",
        "normalization",
        "text",
    },
    "loading": {
        "bundled",
        "checkpoint",
        "codec",
        "config",
        "decoding",
        "fast",
        "model",
        "text",
    },
    "tts": {
        "codec",
        "compatibility",
        "data",
        "decoding",
        "layout",
        "loading",
        "model",
        "streaming",
        "text",
    },
    "export": {"checkpoint", "codec", "decoding", "fast", "model", "text", "tts"},
    "training": {
        "checkpoint",
        "codec",
        "compatibility",
        "config",
        "data",
        "decoding",
        "guided_attention",
        "heads",
        "layout",
        "model",
        "text",
    },
    "evaluation": {"codec", "data", "decoding", "layout", "model", "streaming", "tts"},
    "cli": {"bundled", "codec", "data", "decoding", "fast", "layout", "streaming", "tts"},
    "live": {"data", "cli", "streaming", "tts"},
    "benchmarks": {
        "backbone",
        "bundled",
        "cli",
        "codec",
        "config",
        "data",
        "decoding",
        "fast",
        "heads",
        "layout",
        "model",
        "streaming",
        "text",
        "training",
        "tts",
    },
    # `import sled` offers the face that users import.
    "__init__": {"decoding", "layout", "startup", "streaming", "tts"},
}


def part_of(path: Path) -> str:
    """The part that a file belongs to: a module or a folder directly under sled/."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_names(path: Path) -> set[str]:
    """Full names of all modules a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_a_file_imports_only_what_its_part_may(path):
    part = part_of(path)
    assert part in MAY_IMPORT, f"sled/{part} is new: say in MAY_IMPORT what it may import"
    ours = {name.split(".")[1] for name in imported_names(path) if name.startswith("sled.")}
    ours &= MAY_IMPORT.keys()  # `from sled.x import name` also yields names
    assert ours <= MAY_IMPORT[part] | {part}


def test_the_allowed_imports_have_no_cycle():
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


def test_nothing_needs_torchaudio():
    """It does not load beside every supported torch."""
    modules = {name.split(".")[0] for path in FILES for name in imported_names(path)}
    assert {"torch", "transformers"} <= modules
    assert "torchaudio" not in modules


@pytest.mark.parametrize("was_on", [True, False])
def test_importing_leaves_the_garbage_collector_as_it_was(was_on):
    """Whatever happens; and off meanwhile, for it would look through all that is imported."""
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with pytest.raises(ImportError), without_garbage_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_what_was_imported_counts_as_old_and_can_still_be_collected():
    """Young, all of it would be looked through as soon as the collector is on again."""
    gc.unfreeze()  # what scripts froze that other tests ran
    with without_garbage_collection():
        made = [Cycle() for _ in range(3)]
        seen = weakref.ref(made[0])
    assert any(each is made for each in gc.get_objects(generation=2))
    assert gc.get_freeze_count() == 0
    made.clear()
    gc.collect()
    assert seen() is None


def test_what_a_program_froze_stays_frozen():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with without_garbage_collection():
            pass
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()
