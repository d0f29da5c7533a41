"""Pictures to try the site with: the model folder's own, or whatever lies in static/examples."""

from pathlib import Path

from classifier.errors import ResultNotFound
from web.settings import ROOT, Settings

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_EXAMPLES = 12


class Examples:
    """A folder of pictures, read when it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Their file names, sorted; at most 12."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if is_picture(path))[:MAX_EXAMPLES]

    def read(self, name: str) -> bytes:
        """One of them. Raises ResultNotFound for any other name."""
        if name not in self.names():
            raise ResultNotFound("There is no example of this name; please choose one on the page.")
        return (self.folder / name).read_bytes()


def is_picture(path: Path) -> bool:
    """By its name, which has to be one that can stand in a page."""
    return path.suffix.lower() in SUFFIXES and path.name.isprintable() and path.is_file()


def examples_of(settings: Settings) -> Examples:
    own = Examples(Path(settings.model) / "examples")
    return own if own.names() else Examples(ROOT / "static" / "examples")
