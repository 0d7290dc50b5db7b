"""Running the scripts as a user does: in this process, and in one of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from sled.cli.speaking import run_main

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load_main(script: str) -> Callable[[list[str]], None]:
    """The `main` of scripts/<script>.py."""
    spec = spec_from_file_location(script, SCRIPTS / f"{script}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def run(script: str, *argv: object) -> int:
    """Run a script in this process, as from its command line; returns its exit status."""
    main = load_main(script)
    try:
        run_main(lambda: main([str(word) for word in argv]))
    except SystemExit as status:
        return int(status.code or 0)
    return 0


def run_process(
    script: str, *argv: object, cwd: Path, text: str = "", binary: bool = False
) -> subprocess.CompletedProcess:
    """Run a script in a process of its own, with `text` on its standard input.

    What it writes is text, or bytes if `binary`.
    """
    path = os.pathsep.join(filter(None, [str(SCRIPTS.parent), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *map(str, argv)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        input=text.encode() if binary else text,
        capture_output=True,
        text=not binary,
    )
