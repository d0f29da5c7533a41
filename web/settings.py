"""All settings of the site: its own, the model's options and the engine's limits. Read from the environment, once."""

import logging
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from limits import parse_many
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from classifier.options import (
    ENV_PREFIX,
    KEEP_HOURS,
    KEEP_MB,
    UPLOADS,
    Limits,
    ModelOptions,
    build,
    select,
    shown_default,
    suggestion,
)

ROOT = Path(__file__).resolve().parents[1]

log = logging.getLogger(__name__)


def parse_place(value: Any) -> Any:
    return Path(value).absolute() if isinstance(value, str) and "://" not in value else value


def parse_list(value: Any) -> Any:
    """Split names with commas between them."""
    return tuple(name for part in value.split(",") if (name := part.strip())) if isinstance(value, str) else value


def parse_networks(value: Any) -> Any:
    names = parse_list(value)
    try:
        for name in names:
            ip_network(name)
    except ValueError as exc:
        raise ValueError("addresses or networks with commas between them") from exc
    return names


def parse_rate(value: str) -> str:
    try:
        if value:
            parse_many(value)
    except ValueError as exc:
        raise ValueError("a rate, such as 60/minute or 5/second") from exc
    return value


def parse_span(value: Any) -> Any:
    """Read "2" as (2, 2) and "1-8" as (1, 8)."""
    if not isinstance(value, str):
        return value
    low, _, high = value.partition("-")
    try:
        few, many = int(low), int(high or low)
    except ValueError:
        few = many = 0
    if not 1 <= few <= many:
        raise ValueError("a whole number from 1, such as 2, or from one to another, such as 1-8")
    return few, many


Place = Annotated[Path | str, BeforeValidator(parse_place)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_list)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_networks)]
Rate = Annotated[str, BeforeValidator(parse_rate)]
Span = Annotated[tuple[int, int], NoDecode, BeforeValidator(parse_span)]


class Settings(Limits, ModelOptions, BaseSettings):
    """Each field is `CLASSIFIER_<NAME>` in the environment; an empty variable counts as unset.

    Called directly, it reads no environment: what is not given has its default.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description='below this probability the site answers "not sure"; if unset, the model folder\'s own',
    )
    fallback: str = Field(
        default="",
        description="model that answers while the weights are downloaded, or if they cannot be: a name or a folder; "
        "if unset, the site waits for them",
    )
    notice: str = Field(default="", description="line displayed at the top of every page")
    max_upload_mb: int = Field(
        default=20, ge=1, le=1024, description="maximum size of a request without its zip files, in MiB"
    )
    max_files: int = Field(default=16, ge=1, le=1000, description="maximum number of photos in a request")
    max_zip_files: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="maximum number of photos in the zip files of a request; `0` refuses zip files",
    )
    max_zip_mb: int = Field(
        default=256,
        ge=1,
        le=16_384,
        description="maximum size of the zip files of a request, in MiB; their photos may have eight times as many",
    )
    uploads: Place = Field(
        default=ROOT / UPLOADS,
        description="where results are kept: a folder, or a store that several machines share, `s3://bucket/prefix`",
        json_schema_extra={"shown": UPLOADS},
    )
    keep_hours: float = Field(
        default=KEEP_HOURS, ge=0, le=1e6, description="how long results are kept, in hours; `0` stores nothing"
    )
    keep_mb: int = Field(
        default=KEEP_MB, ge=1, le=10**9, description="storage limit for results, in MiB; the oldest are deleted first"
    )
    proxies: int = Field(default=0, ge=0, le=10, description="number of trusted reverse proxies in front of the site")
    trusted_hosts: Names = Field(
        default=(),
        description="host names the site answers to, comma-separated; "
        "`.example.org` includes subdomains; if unset, any",
    )
    rate: Rate = Field(default="", description="rate limit per client, such as `60/minute`; if unset, none")
    rate_storage: str = Field(
        default="memory://", description="where rates are counted: in each process, or `redis://...` for all"
    )
    token: str = Field(default="", description="shared secret required with every request; if unset, none")
    metrics_from: Networks = Field(
        default=("127.0.0.0/8", "::1"),
        description="addresses or networks that may read `/metrics` without the token, comma-separated",
    )
    engine: Literal["local", "ray"] = Field(
        default="local",
        description="where the model runs: `local` (in this process) or `ray` "
        "(Ray Serve, at `RAY_ADDRESS` if that is set)",
    )
    replicas: Span = Field(
        default=(1, 1),
        description="number of model replicas on Ray: fixed, such as `2`, or a range, such as `1-8`, "
        "that follows the load",
        json_schema_extra={"shown": "1"},
    )
    log_names: int = Field(default=0, ge=0, le=1, description="`1` logs the names of uploaded files")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `from_environ` is the only way in for the environment

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings and warn about unknown names. Raises StartupError for a value that is not allowed."""
        for name in environ.keys() - variables(cls):
            if name.startswith(ENV_PREFIX):
                log.warning("%s is no setting%s; it is ignored.", name, suggestion(name, variables(cls)))
        return cls.parse_environ(environ)

    @classmethod
    def parse_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings. Raises StartupError for a value that is not allowed."""
        source = EnvSettingsSource(cls)
        source.env_vars = {name.lower(): environ[name] for name in variables(cls) if environ.get(name)}
        return build(cls, source())

    @property
    def model_options(self) -> ModelOptions:
        return select(ModelOptions, self)

    @property
    def limits(self) -> Limits:
        return select(Limits, self)


def variables(settings: type[Settings]) -> list[str]:
    """Return the name of every setting's environment variable."""
    return [ENV_PREFIX + name.upper() for name in settings.model_fields]


def table() -> str:
    """Return the settings as the Markdown table of docs/configuration.md."""
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` | `{shown_default(field)}` | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| name | default | meaning |", "| --- | --- | --- |", *rows])
