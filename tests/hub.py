"""A stand-in for the Hugging Face hub."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from sled.files import hub


class _NotFound(RepositoryNotFoundError):
    def __init__(self) -> None:
        """Without the response that the real one takes."""


class FakeHub:
    """Repositories that are folders of this machine.

    Attributes:
        online: Whether the hub can be reached.
        lookups: Names of the repositories that were asked for, in order.
        downloads: Files that were asked for, in order.
    """

    def __init__(self, repositories: Mapping[str, Path], cache: Path) -> None:
        self.repositories, self.cache = repositories, cache
        self.online = True
        self.lookups: list[str] = []
        self.downloads: list[str] = []

    def model_info(self, name: str, timeout: float) -> SimpleNamespace:
        assert timeout <= 10
        self.lookups.append(name)
        if not self.online:
            raise RuntimeError("Name or service not known")
        if name not in self.repositories:
            raise _NotFound
        folder = self.repositories[name]
        files = sorted(
            str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
        )
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in files])

    def hf_hub_download(self, name: str, file: str) -> str:
        assert self.online
        self.downloads.append(file)
        target = self.cache / name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.repositories[name] / file, target)
        return str(target)

    def try_to_load_from_cache(self, name: str, file: str) -> str | None:
        path = self.cache / name / file
        return str(path) if path.is_file() else None


def install_hub(
    monkeypatch: pytest.MonkeyPatch, repositories: Mapping[str, Path], cache: Path
) -> FakeHub:
    """Let huggingface_hub find these repositories, until the test ends."""
    fake = FakeHub(repositories, cache)
    for name in ("model_info", "hf_hub_download", "try_to_load_from_cache"):
        monkeypatch.setattr(f"huggingface_hub.{name}", getattr(fake, name))
    hub._look_up.cache_clear()
    hub._download.cache_clear()
    return fake
