"""The errors of this project. `str(error)` is one sentence that the person in front of the page may read.

The cause, for the log, is in `__cause__`. `web.problems` gives each class its HTTP status.

    ClassifierError
    ├── StartupError        the site or a command cannot start as configured
    │   ├── Unproven        a graphics card that was not shown to compute the right numbers
    │   └── NotDownloaded   weights are neither cached nor available from the internet (models.downloads: NotCached)
    ├── DataError           a folder of photos that cannot be used for training or evaluation
    ├── Misunderstood       a request that is not understood
    ├── NoImage             no file, or an empty one
    ├── TooLarge            too many bytes, files or pixels
    ├── UnsupportedImage    not an image, or of a format that is not supported
    ├── BrokenImage         an image that is cut off or cannot be decoded
    ├── Unavailable         no answer for now: too busy, too late, or the model failed
    ├── NotExplainable      a model, or a class, without a heat map
    └── ResultNotFound      deleted, expired or never there
"""


class ClassifierError(Exception):
    """Base of all errors of this project."""


class StartupError(ClassifierError):
    """The site or a command cannot start as configured: settings, weights or labels."""


class Unproven(StartupError):
    """A graphics card is not there, or was not shown to compute the right numbers."""


class NotDownloaded(StartupError):
    """Weights are neither cached nor available from the internet."""


class DataError(ClassifierError):
    """A folder of photos, one folder per class, that cannot be used for training or evaluation."""


class Misunderstood(ClassifierError):
    """A request that is not understood."""


class NoImage(ClassifierError):
    """No file, or an empty one."""


class TooLarge(ClassifierError):
    """More bytes, files or pixels than the limits allow."""


class UnsupportedImage(ClassifierError):
    """Not an image, or an image of a format that is not supported."""


class BrokenImage(ClassifierError):
    """An image of a supported format that is cut off or cannot be decoded."""


class Unavailable(ClassifierError):
    """No answer for now, through no fault of the request: the queue is full, or the model is late or failed."""


class NotExplainable(ClassifierError):
    """There is no such class, or the model has no feature map for a heat map."""


class ResultNotFound(ClassifierError):
    """No result is kept under this id, or not any more."""
