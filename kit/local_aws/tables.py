"""Rows that are no resources: many, small, by key. Whoever changes them tells the journal of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.local_aws.store import Store

__all__ = ["SPLIT", "Table", "keyed"]

SPLIT = "\x1f"  # between the parts of a key


def keyed(*parts: str) -> str:
    """The key of these parts."""
    return SPLIT.join(parts)


class Table(dict[str, dict[str, Any]]):
    """Rows by key; whoever changes them tells the store's journal."""

    def __init__(self, store: Store, place: str) -> None:
        super().__init__()
        self._store, self._place = store, place

    def _told(self, key: str, row: dict[str, Any] | None) -> None:
        self._store.journal({keyed(self._place, key): row})

    def __setitem__(self, key: str, row: dict[str, Any]) -> None:
        super().__setitem__(key, row)
        self._told(key, row)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._told(key, None)

    def pop(self, key: str, *default: Any) -> Any:
        """Like a dict's."""
        if key in self:
            self._told(key, None)
        return super().pop(key, *default)

    def update(self, *args: Any, **named: Any) -> None:
        """Like a dict's."""
        for key, row in dict(*args, **named).items():
            self[key] = row

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Like a dict's."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Like a dict's."""
        self._store.journal({keyed(self._place, key): None for key in self})
        super().clear()
