"""The log: readable lines on a terminal, one JSON object a line anywhere else."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger import json

NAMES = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "trace"}


class JsonFormatter(json.JsonFormatter):
    """Formats a record as one line of JSON. The members of `extra={"fields": {...}}` become members of the line."""

    def __init__(self) -> None:
        super().__init__(["asctime", "levelname", "name", "message"], rename_fields=NAMES, json_default=str)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = log_data.pop("fields", {})
        return {**log_data, "level": log_data["level"].lower(), **fields}


class TextFormatter(logging.Formatter):
    """Formats a record for people; the fields follow the message as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return " ".join([super().format(record), *(f"{name}={value}" for name, value in fields.items())])


def formatter() -> logging.Formatter:
    """Return the text formatter if standard error is a terminal, else the JSON formatter."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s") if is_terminal else JsonFormatter()


def configure() -> None:
    """Log everything from INFO upwards to standard error. A log that cannot be written stops no request."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.raiseExceptions = False
