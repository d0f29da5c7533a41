"""inflect without the run-time type checks that typeguard compiles at every import, which takes 1.4 s of each start."""

from typing import Any

import typeguard

compiles_checks: Any = typeguard.typechecked
typeguard.typechecked = lambda target: target  # type: ignore[assignment]
try:
    import inflect
finally:
    typeguard.typechecked = compiles_checks

__all__ = ["inflect"]
