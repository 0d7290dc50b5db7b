"""Optional packages: the commands that install them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install_command(extra: str) -> str:
    """A command that installs the packages of an extra.

    It does not name the package `sled`, because an index may have another one of that name: it
    names the source folder that this code runs from, else the packages themselves.
    """
    if (ROOT / "setup.py").is_file():
        folder = "." if Path.cwd() == ROOT else str(ROOT)
        return f"pip install -e '{folder}[{extra}]'"
    return f"pip install {' '.join(repr(one) for one in extra_requirements().get(extra, []))}"


def extra_requirements() -> dict[str, list[str]]:
    """The requirements of each extra, but for developers, as the installed package declares them.

    Empty if the package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, requires  # only for messages

    try:
        requirements = requires("sled") or []
    except PackageNotFoundError:
        requirements = []
    extras: dict[str, list[str]] = {}
    for requirement in requirements:
        package, _, marker = requirement.partition(";")
        name = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
        if name and name[1] != "dev":
            extras.setdefault(name[1], []).append(package.strip())
    return extras
