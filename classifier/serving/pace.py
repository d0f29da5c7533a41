"""How fast items are answered of late."""


class Pace:
    """How long an item takes of late, in a batch; what is longer ago counts for less and less."""

    def __init__(self) -> None:
        self._seconds = self._items = 0.0

    def note(self, seconds: float, items: int) -> None:
        self._seconds = 0.8 * self._seconds + seconds
        self._items = 0.8 * self._items + items

    def seconds(self, items: int) -> float:
        """How long `items` more will take; 0 as long as nothing is known."""
        return self._seconds / max(self._items, 1.0) * items
