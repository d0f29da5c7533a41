"""The log: lines to read on a terminal, a JSON object a line anywhere else."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what is given as `extra={"fields": {...}}` becomes members of it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "fields", {}), default=str)


class TextFormatter(logging.Formatter):
    """A record for people; the fields follow as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return " ".join([super().format(record), *(f"{name}={value}" for name, value in fields.items())])


def formatter() -> logging.Formatter:
    """The one that fits where standard error goes."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s") if is_terminal else JsonFormatter()


def configure() -> None:
    """Everything from INFO on goes to standard error; a log that cannot be written to stops nobody."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.raiseExceptions = False
