"""Example pictures: the model folder's own, or those in static/examples."""

from pathlib import Path

from classifier.contract import Engine
from classifier.errors import ResultNotFound
from web.settings import ROOT, Settings

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_EXAMPLES = 12


class Examples:
    """A folder of pictures, read on every request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the sorted file names of at most 12 pictures."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if is_picture(path))[:MAX_EXAMPLES]

    def read(self, name: str) -> bytes:
        """Return the picture of this name. Raises ResultNotFound if `names` does not list it."""
        if name not in self.names():
            raise ResultNotFound("There is no example of this name; please choose one on the page.")
        return (self.folder / name).read_bytes()


def is_picture(path: Path) -> bool:
    """Return whether a path's name is that of a picture and can be shown on a page."""
    return path.suffix.lower() in SUFFIXES and path.name.isprintable() and path.is_file()


def examples_of(engine: Engine, settings: Settings) -> Examples:
    """Return the examples in the folder of the model that answers if it has any, else the site's own."""
    own = Examples(model_folder(engine, settings) / "examples")
    return own if own.names() else Examples(ROOT / "static" / "examples")


def model_folder(engine: Engine, settings: Settings) -> Path:
    """Return the folder of the model that answers; a path that does not exist if it has none."""
    return Path(settings.fallback if engine.fallback() else settings.model)
