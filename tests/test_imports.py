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
    """An object that refers to itself, so that only the garbage collector frees it."""

    def __init__(self) -> None:
        self.itself = self


# Reviewed: what each part of the package may import of the others. The model knows no codec, the
# codec and the data know no model, and training speaks only so that one hears how it goes.
MAY_IMPORT: dict[str, set[str]] = {
    # Ground floor: files, and text as it is said.
    "startup": set(),
    "files": set(),
    "transcribe": {"files"},
    "bundled": set(),
    "normalization": {"startup"},
    "text": {"bundled", "files", "normalization"},
    # What computes: the model knows no codec, and the data no model. Flows, which decode speech
    # tokens, have layers of the model.
    "codec": {"bundled", "files", "model"},
    "model": {"files"},
    "data": {"bundled", "codec", "files", "normalization", "text"},
    # Decoding, and the fast forms of the model.
    "decoding": {"model"},
    "fast": {"codec", "decoding", "files", "model"},
    "loading": {"bundled", "codec", "decoding", "fast", "files", "model", "text"},
    # Sessions, and the face that users import.
    "streaming": {"codec", "decoding", "files", "model", "normalization", "text", "transcribe"},
    "simulation": {"streaming", "text"},
    "speech": {"files", "streaming", "text"},
    "tts": {
        "codec",
        "decoding",
        "files",
        "loading",
        "model",
        "speech",
        "streaming",
        "text",
        "transcribe",
    },
    "__init__": {"decoding", "model", "speech", "startup", "streaming", "tts"},
    # The chain as graphs, and what speaks with them.
    "onnx": {"codec", "decoding", "files", "loading", "model", "streaming", "text"},
    # Training does not speak through sessions, and knows no face.
    "training": {
        "bundled",
        "codec",
        "data",
        "decoding",
        "fast",
        "files",
        "loading",
        "model",
        "text",
    },
    # The server opens sessions, and knows no model.
    "serving": {"files", "streaming", "text", "transcribe", "tts"},
    # Voices of other frameworks, which know the server's messages only.
    "integrations": set(),
    # What uses all of it.
    "evaluation": {
        "bundled",
        "codec",
        "data",
        "decoding",
        "files",
        "model",
        "simulation",
        "streaming",
        "training",
        "transcribe",
        "tts",
    },
    "cli": {
        "startup",
        "bundled",
        "codec",
        "data",
        "decoding",
        "evaluation",
        "fast",
        "files",
        "loading",
        "model",
        "onnx",
        "serving",
        "simulation",
        "streaming",
        "text",
        "training",
        "transcribe",
        "tts",
    },
    "__main__": {"cli"},
    "benchmarks": {
        "bundled",
        "cli",
        "codec",
        "data",
        "decoding",
        "fast",
        "files",
        "model",
        "serving",
        "simulation",
        "streaming",
        "text",
        "training",
        "tts",
    },
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


@pytest.fixture(scope="module")
def imports() -> dict[Path, set[str]]:
    """The names that each file of the package imports."""
    return {path: imported_names(path) for path in FILES}


def test_files_import_only_what_their_parts_may(imports):
    forbidden = []
    for path, names in imports.items():
        part = part_of(path)
        assert part in MAY_IMPORT, f"sled/{part} is new: say in MAY_IMPORT what it may import"
        ours = {name.split(".")[1] for name in names if name.startswith("sled.")}
        ours &= MAY_IMPORT.keys()  # `from sled.x import name` also yields names
        if not_allowed := ours - MAY_IMPORT[part] - {part}:
            forbidden.append(f"{path.relative_to(ROOT)} imports {sorted(not_allowed)}")
    assert not forbidden


def test_the_allowed_imports_have_no_cycle():
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    return ".".join(("sled", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def test_no_file_is_in_a_circle_of_imports(imports):
    """Imports for the type checker and imports in functions count, too."""
    modules = {module_of(path) for path in FILES}
    graph = {}
    for path, names in imports.items():
        imported = names & modules
        # `from package import module` needs the module, not the names of the package.
        packages = {name.rpartition(".")[0] for name in imported}
        graph[module_of(path)] = imported - packages - {"sled"}
    graph.pop("sled")  # which offers names of many
    assert list(TopologicalSorter(graph).static_order())


def test_no_file_is_longer_than_400_lines():
    long = [path for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert not long


def test_nothing_needs_torchaudio(imports):
    """torchaudio does not work with every supported version of torch."""
    modules = {name.split(".")[0] for names in imports.values() for name in names}
    assert {"torch", "transformers"} <= modules
    assert "torchaudio" not in modules


@pytest.mark.parametrize("was_on", [True, False])
def test_importing_leaves_the_garbage_collector_as_it_was(was_on):
    """It is off during the import, and restored after an error, too."""
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with pytest.raises(ImportError), without_garbage_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_imported_objects_are_in_the_oldest_generation_and_can_be_collected():
    """In a younger generation they would be searched as soon as the collector is on again."""
    gc.unfreeze()  # objects frozen by scripts that other tests ran
    with without_garbage_collection():
        made = [Cycle() for _ in range(3)]
        seen = weakref.ref(made[0])
    assert any(each is made for each in gc.get_objects(generation=2))
    assert gc.get_freeze_count() == 0
    made.clear()
    gc.collect()
    assert seen() is None


def test_objects_that_the_program_froze_stay_frozen():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with without_garbage_collection():
            pass
        # A few may have been freed since, whose last reference went away.
        assert gc.get_freeze_count() > 0.9 * frozen > 0
    finally:
        gc.unfreeze()
