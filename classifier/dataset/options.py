"""How a data folder is to be understood: the options that `check`, `train` and `evaluate` share, each written once."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PARTS = ("train", "validation", "test")
VALIDATION, TEST, SEED = 0.1, 0.2, 0  # the split that training draws by default
AUTO, NONE = "auto", "none"
ENTRY = re.compile(rf"({'|'.join(PARTS)})=(.+)")
BETWEEN_ENTRIES = re.compile(rf",(?=(?:{'|'.join(PARTS)})=)")  # so that the name of a folder may contain commas


def entries(value: str) -> list[str]:
    return re.split(BETWEEN_ENTRIES, value)


def check_parts(value: str) -> str:
    if value not in (AUTO, NONE) and not all(map(ENTRY.fullmatch, entries(value))):
        raise ValueError("auto, none, or folders such as train=FOLDER,validation=FOLDER,test=FOLDER")
    return value


class DataOptions(BaseModel):
    """Each field is `--<name>` of the commands that read a data folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: Annotated[str, AfterValidator(check_parts)] = Field(
        default=AUTO,
        description="folders that divide the photos: recognised by their names (auto), none, "
        "or train=FOLDER,validation=FOLDER,test=FOLDER",
    )
    labels: Path | None = Field(
        default=None,
        description="a CSV file of filename,label for photos that are not in a folder per class",
    )

    flat: bool = Field(default=False, description="folders inside a class folder are not classes of their own")

    def named_parts(self) -> list[tuple[str, str]]:
        """Return (part, folder) for every folder that `parts` names."""
        found = map(ENTRY.fullmatch, entries(self.parts))
        return [(match[1], match[2]) for match in found if match]


DEFAULTS = DataOptions()
