"""Recorded consents: a speaker says that a voice may be made of him.

Each is a JSON file and the file that was uploaded, under an id. Several servers may share a folder.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from pathlib import Path

from pydantic import BaseModel, ValidationError

from sled.files.whole import write_whole
from sled.serving.errors import ApiError
from sled.serving.voices.watched_folder import WatchedFolder

logger = logging.getLogger(__name__)

MAX_CONSENTS = 1000


class Consent(BaseModel):
    """A recorded consent.

    Attributes:
        id: Its id.
        name: A label.
        language: BCP 47.
        created_at: When it was recorded, in seconds since 1970.
        key: Name of the key with which it was uploaded.
        sample_sha256: Digest of the recording's file.
    """

    id: str
    name: str
    language: str
    created_at: int
    key: str
    sample_sha256: str


class Consents:
    """All recorded consents.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = WatchedFolder(folder)
        self._known: dict[str, Consent] = {}
        # Consents are added on another thread than that on which they are looked up.
        self._lock = threading.RLock()

    @property
    def _consents(self) -> dict[str, Consent]:
        """A copy of the consents by id, as the folder holds them now."""
        with self._lock:
            if self._folder.has_changed():
                self._known = self._read()
            return dict(self._known)

    def _read(self) -> dict[str, Consent]:
        known = {}
        for path in sorted(self._folder.path.glob("*.json")):
            try:
                consent = Consent.model_validate_json(path.read_bytes())
            except (ValidationError, OSError) as error:
                logger.warning("%s is no consent (%s): it is left out", path, error)
                continue
            known[consent.id] = consent
        return known

    def of(self, key: str) -> list[Consent]:
        """The consents that were uploaded with a key, in the order of their making."""
        found = [one for one in self._consents.values() if one.key == key]
        return sorted(found, key=lambda one: one.created_at)

    def find(self, consent_id: str, key: str) -> Consent:
        """A consent that was uploaded with a key.

        Raises:
            ApiError: `not_found`.
        """
        consent = self._consents.get(consent_id)
        if consent is None or consent.key != key:
            raise ApiError("not_found", f"there is no consent {consent_id!r}: see the list of them")
        return consent

    def add(self, name: str, language: str, key: str, recording: bytes, digest: str) -> Consent:
        """Keep a recorded consent.

        Raises:
            ApiError: `storage_full`.
        """
        if len(self._consents) >= MAX_CONSENTS:
            raise ApiError("storage_full", f"there are {MAX_CONSENTS} consents: delete some first")
        consent = Consent(
            id=f"cons_{secrets.token_hex(12)}",
            name=name,
            language=language,
            created_at=int(time.time()),
            key=key,
            sample_sha256=digest,
        )
        try:
            self._folder.path.mkdir(parents=True, exist_ok=True)
            self._recording(consent).write_bytes(recording)
            self._write(consent)
        except OSError as error:
            self._recording(consent).unlink(missing_ok=True)
            raise _unwritten(error) from error
        logger.info("consent %s was recorded with key %r", consent.id, key)
        return consent

    def rename(self, consent: Consent, name: str) -> Consent:
        """Give a consent another label.

        Raises:
            ApiError: `storage_full` if it cannot be written.
        """
        renamed = consent.model_copy(update={"name": name})
        try:
            self._write(renamed)
        except OSError as error:
            raise _unwritten(error) from error
        return renamed

    def remove(self, consent: Consent) -> None:
        """Delete a consent and its recording."""
        with self._lock:
            self._known.pop(consent.id, None)
        self._described(consent).unlink(missing_ok=True)
        self._recording(consent).unlink(missing_ok=True)
        logger.info("consent %s was deleted", consent.id)

    def _write(self, consent: Consent) -> None:
        content = consent.model_dump_json()
        write_whole(
            self._described(consent), lambda part: part.write_text(content, encoding="utf-8")
        )
        with self._lock:
            self._known[consent.id] = consent

    def _described(self, consent: Consent) -> Path:
        return self._folder.path / f"{consent.id}.json"

    def _recording(self, consent: Consent) -> Path:
        return self._folder.path / f"{consent.id}.recording"


def _unwritten(error: OSError) -> ApiError:
    logger.error("a consent could not be written: %s", error)
    return ApiError("storage_full", "the consent could not be written: see the log")
