"""Kill processes of one kind at moments that a seed decides, for as long as a run lasts."""

import random
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.chaos import processes

_LOOK = 0.02
"""Seconds between two looks for a victim."""


@dataclass
class Killing(AbstractContextManager["Killing"]):
    """Kills up to `times` processes of a kind, each a random while after the one before.

    The first while begins when there is a process of that kind. `driver` is killed by its id.
    """

    mark: str
    kind: str
    times: int
    while_: tuple[float, float]
    seed: int
    driver: int = 0
    killed: list[int] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Killing":
        self._thread = threading.Thread(target=self._kill, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _kill(self) -> None:
        chance = random.Random(self.seed)
        while len(self.killed) < self.times:
            if not self._waited_for_one():
                return
            time_left = chance.uniform(*self.while_)
            if self._ended.wait(time_left):
                return
            alive = [pid for pid in self._victims() if pid not in self.killed]
            if alive and processes.kill(victim := chance.choice(alive)):
                self.killed.append(victim)

    def _waited_for_one(self) -> bool:
        """False when the run ended before there was a process to kill."""
        while not set(self._victims()) - set(self.killed):
            if self._ended.wait(_LOOK):
                return False
        return True

    def _victims(self) -> list[int]:
        if self.kind == "driver":
            return [self.driver]
        return processes.of_kind(self.mark, self.kind)
