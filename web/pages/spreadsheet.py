"""Outcomes as CSV (RFC 4180), in the columns that `POST /` promises, one line per photo."""

import csv
import io
from collections.abc import Generator, Iterable
from typing import Any

from web.pages.outcome import Outcome

COLUMNS = (
    "filename", "label", "score", "broader", "broader_score", "familiar", "sure", "model", "version", "url", "error",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@")  # a spreadsheet runs a cell that begins with one of these


def csv_lines(outcomes: Iterable[Outcome], model: str) -> Generator[str]:
    """Yield the head, then a line for each outcome as it comes."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="")
    writer.writeheader()
    yield buffer.getvalue()
    for outcome in outcomes:
        buffer.seek(buffer.truncate(0))
        writer.writerow({name: cell(value) for name, value in record(outcome, model).items()})
        yield buffer.getvalue()


def record(outcome: Outcome, model: str) -> dict[str, Any]:
    """Return the columns that an outcome has, of a photo that was answered or of one that was not."""
    if outcome.error:
        return {"filename": outcome.filename, "error": outcome.error.detail}
    best = outcome.predictions[0]
    answer = {
        "label": best.label,
        "score": round(best.score, 6),
        "sure": outcome.sure,
        "model": model,
        "familiar": outcome.familiar,
    }
    broader = outcome.broader
    surer = {"broader": broader.label, "broader_score": round(broader.score, 6)} if broader else {}
    return {"filename": outcome.filename, "url": outcome.url} | answer | surer


def cell(value: Any) -> str:
    """Return a value as text: "" for None, booleans as in JSON, and nothing that a spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
