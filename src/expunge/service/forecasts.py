"""Forecasts: how many more people each model can forget, worked out once a release beside the pages that show it."""

import threading
import time
from dataclasses import dataclass

from expunge.errors import ExpungeError
from expunge.ledger import releases
from expunge.privacy.budget import today
from expunge.unlearning.report import CapacityReport
from expunge.workspace import Workspace

PAUSE = 5.0
"""Seconds until files that could not be read are tried again."""


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
        for name, certificate in living.items():
            is_over = ended is not None and ended.is_set()
            if self.of(name, certificate) is None and time.monotonic() >= self._again and not is_over:
                found = self._forecast(name)
                if found is not None:
                    self._known[name] = (certificate, today()), found

    def _forecast(self, name: str) -> Forecasted | None:
        """The forecast; ``None`` if a batch has deleted files while they were read, so that it has to be tried again."""
        try:
            return Forecasted(self._workspace.capacity(name))
        except (ExpungeError, ValueError) as error:
            return Forecasted(None, str(error))
        except OSError:
            self._again = time.monotonic() + PAUSE
            return None
