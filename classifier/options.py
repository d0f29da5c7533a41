"""The options of a model and the limits of an engine: each default, its bounds and its help text, once.

The site's settings (`web.settings`) and the command line are both made from these fields.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from classifier.contract import Resize
from classifier.errors import StartupError

KEEP_HOURS, KEEP_MB = 24, 1024  # how long and how many MiB of results are kept
UPLOADS = "uploads"  # the folder of the results, in the checkout (the site) or the working directory (commands)
ENV_PREFIX = "CLASSIFIER_"  # of the environment variable for each option, followed by its name in capitals

Kind = TypeVar("Kind", bound=BaseModel)
Device = Literal["auto", "gpu", "cpu"]
Precision = Literal["float32", "bfloat16", "float16", "auto"]
AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]


class ModelOptions(BaseModel):
    """What to load, and how its input is prepared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        default="vgg16",
        description="model to serve: a name (`vgg16`, `efficientnet_lite2`, `mobilenet_v2`, ...) or a model folder",
    )
    weights: str = Field(
        default="imagenet",
        description="`imagenet` (downloaded once), a weights file, or `random` (predictions are meaningless)",
    )
    labels: AbsolutePath | None = Field(
        default=None, description="class-index JSON file; if unset, ImageNet's 1,000 classes"
    )
    precision: Precision = Field(
        default="float32",
        description="numeric precision: `float32`, `bfloat16`, `float16`, "
        "or `auto` (float16 on a GPU; on a CPU bfloat16 if it is native and keeps the answers, otherwise float32)",
    )
    resize: Resize = Field(
        default="crop",
        description="`crop` (centre crop, bicubic) or `stretch` (like Keras' `load_img`, nearest neighbour)",
    )
    device: Device = Field(
        default="auto",
        description="`auto` (a GPU that passes a test computation at start-up, otherwise the CPU), "
        "`gpu` (do not start without such a GPU) or `cpu`",
    )
    familiarity: int = Field(
        default=1,
        ge=0,
        le=1,
        description="`0` never answers that a photo looks like none of a model folder's classes",
    )


class Limits(BaseModel):
    """What one answer may cost, and how many may be on their way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: int = Field(default=5, ge=1, le=1000, description="number of classes in an answer")
    max_megapixels: float = Field(
        default=50, ge=0.1, le=1000, description="maximum size of a photo, in millions of pixels"
    )
    max_batch: int = Field(
        default=32, ge=1, le=1024, description="maximum batch size (capped at 16 on a CPU, at 8 for a compiled model)"
    )
    max_wait_ms: float = Field(
        default=100, ge=0, le=1000, description="longest wait of a batch for further photos, in milliseconds"
    )
    max_waiting: int = Field(
        default=256, ge=1, le=100_000, description="maximum number of queued photos; beyond it, 503 at once"
    )
    timeout_s: float = Field(default=30, ge=0.1, le=3600, description="deadline for an answer, in seconds")


def build(kind: type[Kind], values: Mapping[str, Any], prefix: str = ENV_PREFIX) -> Kind:
    """Return `kind` with these values, by field name. Raises StartupError for the first that is not allowed."""
    try:
        return kind(**values)
    except ValidationError as exc:
        problem = exc.errors()[0]
        name = str(problem["loc"][0])
        if name not in kind.model_fields:
            raise StartupError(f"{prefix}{name.upper()} is no setting{suggestion(name, kind.model_fields)}.") from exc
        reason = problem.get("ctx", {}).get("error") or expected(kind.model_fields[name])
        raise StartupError(f"{prefix}{name.upper()} must be {reason}, not {values[name]!r}.") from exc


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return " (did you mean ...?)" with the name that is most like this one; "" if none is."""
    close = get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def select(kind: type[Kind], source: BaseModel) -> Kind:
    """Return the part of `source` that `kind` has fields for."""
    return kind.model_construct(**{name: getattr(source, name) for name in kind.model_fields})


def expected(field: FieldInfo) -> str:
    """Return which values a field accepts, as the object of "must be"."""
    if allowed := choices(field):
        return " or ".join(allowed)
    if limits := bounds(field):
        whole = "whole " if field.annotation is int else ""
        return f"a {whole}number from {limits[0]:.12g} to {limits[1]:.12g}"
    return "some text"


def choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the values that a field is limited to; none if it takes any."""
    return tuple(value for value in get_args(field.annotation) if isinstance(value, str))


def bounds(field: FieldInfo) -> tuple[float, float] | None:
    """Return the smallest and the largest number that a field accepts; None if it is not a number."""
    low = [rule.ge for rule in field.metadata if isinstance(rule, Ge)]
    high = [rule.le for rule in field.metadata if isinstance(rule, Le)]
    return (float(low[0]), float(high[0])) if low and high else None  # type: ignore[arg-type]


def shown_default(field: FieldInfo) -> str:
    """Return a field's default as a document shows it."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown" in extra:
        return str(extra["shown"])
    if isinstance(field.default, tuple):
        return ",".join(field.default) or "unset"
    return "unset" if field.default in (None, "") else str(field.default)
