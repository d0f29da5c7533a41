"""inflect without its run-time type checks, which typeguard compiles at every import: 1.4 s of each start of the site."""

from typing import Any

import typeguard

compiles_checks: Any = typeguard.typechecked
typeguard.typechecked = lambda target: target  # type: ignore[assignment]
try:
    import inflect
finally:
    typeguard.typechecked = compiles_checks

__all__ = ["inflect"]
