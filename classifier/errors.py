"""What can go wrong. `str(error)` is always one sentence that the person in front of the page may read;
the cause, for the log, hangs on `__cause__`. Which HTTP status each gets is decided in `problems.py`.

    ClassifierError
    ├── StartupError        the site cannot start as configured
    │   └── NotDownloaded   weights or labels are neither cached nor to be had from the internet
    ├── DataError           a folder of photos that cannot be trained on or evaluated with
    ├── Misunderstood       a request that does not say what it should
    ├── NoImage             nothing was sent, or an empty file
    ├── TooLarge            too many bytes, files or pixels
    ├── UnsupportedImage    not an image, or of a format we do not read
    ├── BrokenImage         an image that breaks off or cannot be decoded
    ├── Unavailable         we cannot answer now: too busy, too late, or the model failed
    ├── NotExplainable      this model, or this class, has nothing to show
    └── ResultNotFound      deleted, expired or never there
"""


class ClassifierError(Exception):
    """Base of all errors of ours."""


class StartupError(ClassifierError):
    """The site cannot start as configured: settings, weights or labels."""


class NotDownloaded(StartupError):
    """Weights or labels that are neither cached nor to be had from the internet."""


class DataError(ClassifierError):
    """A folder of photos, one folder per class, that cannot be trained on or evaluated with."""


class Misunderstood(ClassifierError):
    """A request that does not say what it should."""


class NoImage(ClassifierError):
    """No file, or an empty one."""


class TooLarge(ClassifierError):
    """More bytes, files or pixels than the limits allow."""


class UnsupportedImage(ClassifierError):
    """Not an image, or of a format that is not on the list."""


class BrokenImage(ClassifierError):
    """An image of a known format that breaks off or cannot be decoded."""


class Unavailable(ClassifierError):
    """Our doing, and perhaps gone soon: the queue is full, the deadline passed, the model failed."""


class NotExplainable(ClassifierError):
    """There is no such class, or the model has no feature map to show where it looked."""


class ResultNotFound(ClassifierError):
    """No result is kept under this id (any more)."""
