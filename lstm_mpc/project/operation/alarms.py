"""Alarms of a loop: raised, cleared, acknowledged; an unacknowledged one stays to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Alarm:
    """An alarm by its `name`: its `text`, the sample `since` which it holds, whether it is
    `active`, and who acknowledged it."""

    name: str
    text: str
    since: int
    active: bool = True
    acknowledged: str = ""


class Alarms:
    """The alarms of a loop; `on_change(what, alarm)` hears of "raised", "cleared" and
    "acknowledged"."""

    def __init__(self, on_change: Callable[[str, Alarm], None] = lambda what, alarm: None) -> None:
        self._held: dict[str, Alarm] = {}
        self._on_change = on_change

    def __iter__(self) -> Iterator[Alarm]:
        return iter(tuple(self._held.values()))

    def set(self, name: str, holds: bool, text: str, k: int) -> None:
        """Raise or clear an alarm."""
        before = self._held.get(name)
        if holds and (before is None or not before.active):
            self._held[name] = Alarm(name, text, k)
            self._on_change("raised", self._held[name])
        elif holds and before is not None:
            self._held[name] = replace(before, text=text)
        elif not holds and before is not None and before.active:
            self._held[name] = replace(before, active=False)
            self._on_change("cleared", self._held[name])
            self._drop(name)

    def acknowledge(self, name: str, who: str) -> bool:
        """Acknowledge an alarm; False where there is none of that name to be acknowledged."""
        before = self._held.get(name)
        if before is None or before.acknowledged:
            return False
        self._held[name] = replace(before, acknowledged=who)
        self._on_change("acknowledged", self._held[name])
        self._drop(name)
        return True

    def _drop(self, name: str) -> None:
        """One that has gone and was acknowledged need not be shown."""
        if not self._held[name].active and self._held[name].acknowledged:
            del self._held[name]
