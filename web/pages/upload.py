"""What came in: the photos of the upload form."""

from io import BytesIO
from typing import IO, Any, NamedTuple

from flask import Request

from classifier.errors import NoImage, TooLarge
from web.pages.examples import Examples
from web.pages.outcome import printable

FIELD = "fileImage"
EXAMPLE = "example"


class Photo(NamedTuple):
    filename: str
    data: bytes


class InMemoryRequest(Request):
    """A request whose files stay in memory, which `MAX_UPLOAD_MB` bounds: only `Uploads` writes to disk."""

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        return BytesIO()


def sent_photos(request: Request, max_files: int, examples: Examples) -> list[Photo]:
    """The files of the form, read, or the example that was chosen. Raises NoImage, TooLarge or ResultNotFound."""
    if name := request.form.get(EXAMPLE):
        return [Photo(printable(name), examples.read(name))]
    files = [file for file in request.files.getlist(FIELD) if file.filename]
    if not files and FIELD in request.form:
        raise NoImage("The field fileImage holds text; please send a file (with curl: -F fileImage=@photo.jpg).")
    if not files:
        raise NoImage("No photo was sent; please choose one (with curl: -F fileImage=@photo.jpg).")
    if len(files) > max_files:
        raise TooLarge(f"These are {len(files)} photos, and one request may hold {max_files}; please send fewer.")
    return [Photo(printable(file.filename or ""), file.read()) for file in files]
