"""Quality of a workspace's models: sizes before a fit, scores after it, what they depend on, and which settings serve best."""

from dataclasses import replace
from typing import Unpack

from expunge.data.dialect import UNKNOWN, Reading
from expunge.workspace.options import How
from expunge.workspace.plans import Plans
from expunge.workspace.quality.evaluating import Evaluated, evaluated, evaluated_on
from expunge.workspace.quality.explaining import Explanation, explained
from expunge.workspace.quality.size import Size, size_of
from expunge.workspace.quality.tuning import Grid, Trying, Tuned, tuned
from expunge.workspace.storage import Storage


class Quality:
    """What can be measured of models. All but the sizes is evidence, not for publication.

    Args:
        storage: of the workspace.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def size(self, target: str, **how: Unpack[How]) -> Size:
        """Parameters, memory and time of a fit, measured on some rows; nothing is fitted.

        Args:
            target: the column to predict.
            how: see ``How``.

        Raises:
            InvalidRows, ValueError: as of a fit.
        """
        return size_of(self._storage, *Plans(self._storage).specified({"target": target, **how}))

    def size_again(self, name: str, **how: Unpack[How]) -> Size:
        """The same of a model that is fitted anew from the present schema.

        Args:
            name: name of the model.
            how: what is to change; see ``How``.

        Raises:
            InvalidRows, ValueError, WorkspaceInvalid: as of ``Workspace.replace``.
        """
        return size_of(self._storage, *Plans(self._storage).specified_again(name, how))

    def evaluate(
        self, name: str, data: str | None = None, query: str | None = None, *, reading: Reading = UNKNOWN
    ) -> Evaluated:
        """Scores of a model beside the null model and the noiseless one.

        Args:
            name: name of the model.
            data: rows of people whom the model has not seen: a file, a folder of Parquet files, or with ``query`` the URL of a
                database. Without it a second fit is made without a fifth of the people, and scored on them.
            query: SQL whose result is the rows.
            reading: what is known about the file, besides what was known when the workspace was made.

        Raises:
            WorkspaceInvalid: there is no such model.
            InvalidRows: rows that cannot be scored, or too few people.
            NoOptimum, CapacityExceeded: the people who are not held out cannot be fitted.
            ValueError: a query without its database.
        """
        if data is None and query is not None:
            raise ValueError("a query needs the URL of its database: give it as the data")
        if data is None:
            return evaluated(self._storage, name)
        return evaluated_on(self._storage, name, data, query, reading)

    def explain(self, name: str) -> Explanation:
        """Scores, calibration, and what each column adds; ``report_page`` makes a page of it.

        Args:
            name: name of the model.

        Raises:
            WorkspaceInvalid: there is no such model.
            InvalidRows, NoOptimum, CapacityExceeded: too few people, or those who are not held out cannot be fitted.
        """
        return explained(self._storage, name)

    def size_of_tuning(self, target: str, **trying: Unpack[Trying]) -> Size:
        """The size of the largest model that ``tune`` would fit, with the time of all of them.

        Args:
            target: the column to predict.
            trying: see ``Trying``.

        Raises:
            InvalidRows, ValueError: as of a fit.
        """
        grid = Grid.of(self._storage, target, trying)
        largest = max(grid.settings.values(), key=lambda each: each.objective.n_parameters)
        size = size_of(self._storage, largest, grid.asked)
        return replace(size, seconds=size.seconds * len(grid.settings))

    def tune(self, name: str, target: str, *, private: float | None = None, **trying: Unpack[Trying]) -> Tuned:
        """Which settings of a model serve best on people held out; nothing is fitted for good.

        Without ``private`` the choice depends on everybody in the table, which the result says. With it only differentially
        private votes come out.

        Args:
            name: of the model that is to be fitted.
            target: the column to predict.
            private: ε of the choice, in nats, for each person with all of their rows; give one excess risk with it.
            trying: see ``Trying``.

        Raises:
            InvalidRows: too few people, or no setting can be fitted.
            ValueError: impossible settings or ε.
        """
        grid = Grid.of(self._storage, target, trying)
        return tuned(self._storage, name, grid, private)
