"""Files of repositories on the Hugging Face hub."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from pathlib import Path

# One request is made to look a repository up, without retries. Its outcome is kept for a while,
# because the parts of a model are loaded one after the other.
TIMEOUT_S = 5.0
KEPT_S = 60


def is_hub_name(name: str | Path) -> bool:
    """Whether a name has the form of a hub repository, OWNER/NAME, and is no path in a folder."""
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name))) and not (
        Path(Path(name).parts[0]).is_dir()
    )


def hub_file(name: str, file: str) -> Path:
    """Return a file of a repository; arguments as for `find_hub_file`.

    Raises:
        ValueError: If the repository or the file is not found, or cannot be downloaded.
    """
    path = find_hub_file(name, file)
    if path is None:
        _, reason = _look_up(name, _period())
        raise ValueError(reason or f"the repository {name} on {_host()} has no {file}")
    return path


def find_hub_file(name: str, file: str) -> Path | None:
    """Return a file of a repository, downloaded if necessary; None if it is not found.

    If the hub cannot be reached, files of an earlier download are used.

    Args:
        name: The repository, OWNER/NAME.
        file: Name of the file.

    Raises:
        ValueError: If the file cannot be downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    files, _ = _look_up(name, _period())
    if files is not None and file in files:
        return _download(name, file, _period())
    if files is None and isinstance(cached := try_to_load_from_cache(name, file), str):
        return Path(cached)
    return None


def download_folder(name: str, folder: str) -> None:
    """Download the files of a folder of a repository, if it has that and the hub can be reached.

    Args:
        name: The repository, OWNER/NAME.
        folder: The folder.

    Raises:
        ValueError: If a file cannot be downloaded.
    """
    files, _ = _look_up(name, _period())
    for file in sorted(files or ()):
        if file.startswith(f"{folder}/"):
            hub_file(name, file)


@lru_cache(maxsize=256)
def _download(name: str, file: str, period: int) -> Path:
    """A file that the hub has; kept as long as what `_look_up` returns."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file))
    except Exception as error:  # as below
        raise ValueError(f"{file} of {name} cannot be downloaded ({_line(error)})") from error


def _period() -> int:
    return int(time.monotonic() // KEPT_S)


@lru_cache(maxsize=8)
def _look_up(name: str, period: int) -> tuple[frozenset[str] | None, str]:
    """The files of a repository, or None with the reason why they are not known.

    Args:
        name: The repository.
        period: A new value asks the hub again.
    """
    from huggingface_hub import model_info
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        siblings = model_info(name, timeout=TIMEOUT_S).siblings or []
        return frozenset(one.rfilename for one in siblings), ""
    except RepositoryNotFoundError:
        why = f"{_host()} has no public repository of that name"
    except HFValidationError:
        why = "that is no name of a repository on the hub either"
    except HfHubHTTPError as error:
        why = f"{_host()} refuses it ({_line(error)})"
    except OfflineModeIsEnabled:
        why = f"HF_HUB_OFFLINE is set, so {_host()} is not asked"
    except Exception as error:  # each HTTP library that huggingface_hub has used has its own
        why = f"{_host()} cannot be reached ({_line(error)})"
    return None, f"there is no folder {name} here, and {why}: name a folder that holds the files"


def _host() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT.removeprefix("https://")


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
