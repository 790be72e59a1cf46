"""Forecasts: how many more people each model can forget, worked out once a release beside the pages that show it."""

import threading
import time
from dataclasses import dataclass

from expunge.errors import ExpungeError
from expunge.ledger import releases
from expunge.privacy.budget import today
from expunge.unlearning.report import CapacityReport
from expunge.workspace import Workspace

PAUSE = 60.0
"""Seconds until a forecast that could not be made is tried again."""


@dataclass(frozen=True)
class Forecasted:
    """What a model can still forget.

    Args:
        report: the forecast; ``None`` where there is none.
        problem: why there is none, for those who may see the data.
    """

    report: CapacityReport | None
    problem: str | None = None


class Forecasts:
    """The forecast of each model for its last release, as of today."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, tuple[object, Forecasted]] = {}
        self._again = 0.0

    def of(self, model: str, certificate: int) -> Forecasted | None:
        """The forecast after the release with that number among all; ``None`` while it is being worked out."""
        key, found = self._known.get(model, (None, None))
        return found if key == (certificate, today()) else None

    def refresh(self, ended: threading.Event | None = None) -> None:
        """Works out the forecasts that are missing.

        Args:
            ended: once it is set, no further one is begun. Default: never.
        """
        with self._workspace.storage.database.reading() as connection:
            living = {row.name: releases.newest(connection, row.name) for row in releases.all_models(connection)}
        self._known = {name: found for name, found in self._known.items() if name in living}
        is_time = time.monotonic() >= self._again
        for name, certificate in living.items():
            found = self.of(name, certificate)
            is_missing = found is None or (found.report is None and is_time)
            if is_missing and not (ended is not None and ended.is_set()):
                self._known[name] = (certificate, today()), self._forecast(name)

    def _forecast(self, name: str) -> Forecasted:
        """The forecast. If there is none, for example because a batch has deleted files while they were read, it is tried
        again later."""
        try:
            return Forecasted(self._workspace.capacity(name))
        except (ExpungeError, OSError, ValueError) as error:
            self._again = time.monotonic() + PAUSE
            is_ours = isinstance(error, ExpungeError | ValueError)
            return Forecasted(None, str(error) if is_ours else "its rows cannot be read now")
