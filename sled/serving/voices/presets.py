"""Presets: names that stand for a voice and settings.

They are read from a JSON file:

    {"alloy": {"voice": "anna", "speed": 1.1}, "calm": {"speed": 0.9, "temperature": 0.8}}
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sled.files.json_object import read_json_object
from sled.serving.encoding import MAX_SPEED, MIN_SPEED


class Preset(BaseModel):
    """A voice and settings.

    Attributes:
        voice: Name of the voice. None: the model's own.
        speed: Factor by which it is faster; the speed of a request comes on top.
        temperature: Scale of the noise, unless a request says. None: as the model recommends.
        cfg: Guidance scale, unless a request says. None: as the model recommends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    voice: str | None = None
    speed: float = Field(1.0, ge=MIN_SPEED, le=MAX_SPEED)
    temperature: float | None = Field(None, ge=0, le=4)
    cfg: float | None = Field(None, ge=0, le=20)


NO_PRESET = Preset.model_validate({})


def read_presets(path: Path) -> dict[str, Preset]:
    """Read a file of presets.

    Raises:
        ValueError: If there is no such file, or it is wrong.
    """
    try:
        content = read_json_object(path)
        return TypeAdapter(dict[str, Preset]).validate_python(content)
    except OSError as error:
        raise ValueError(f"cannot read the presets in {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ValueError(f"{path}: {place}: {problem['msg']}") from error
