"""What every estimator shares: scikit-learn's ``fit``, and ``forget``, ``learn``, ``rectify``, ``refit`` beside it."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.errors import InvalidRows
from expunge.linear_model.given import Remaining, source, texts
from expunge.linear_model.measured import MeasuredModel
from expunge.linear_model.turn import Turn
from expunge.problem.arrays import require_unmasked
from expunge.problem.rows import Rows
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.release import Release
from expunge.unlearning.report import CapacityReport
from expunge.unlearning.unlearner import Unlearner

Array = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class UnlearningModel(MeasuredModel):
    """What classifiers and regressors share; their parameters are those of ``PlannedModel``.

    Threads may share a fitted estimator: changes take turns.
    """

    @abstractmethod
    def _learn_targets(self, y: Any) -> Array:
        """Targets as the loss wants them, remembering the classes."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Array:
        """The same for later rows."""

    def _weighed(self, rows: Rows) -> Rows:
        """The rows given, with the weights that they have for the estimator."""
        return rows

    def _made(self, rows: Rows, *, by_subject: bool) -> Rows:
        """The rows that the model learns of those given, each of one alone: themselves, unless the estimator says otherwise."""
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_unlearner")

    def fit(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Self:
        """The fitted estimator; forgets everything learned before.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR, float32 or float64.
            y: ``(n_rows,)``.
            sample_weight: ``(n_rows,)``, at least 0; one number is the weight of every row. A model that was fitted with
                weights wants those of all rows that it is shown later; one that was not wants none.
            subjects: whose each row is, ``(n_rows,)``, texts or whole numbers; a person may have several rows. Requests are
                then checked by id: ``forget`` and ``rectify`` want ``ids``, and refuse a row that was not learned under its
                id. The ids are not kept, but go into the digests of ``track_rows``.

        The noise is weighed against what the model learned. Where it costs more than a tenth of what the fit gains in mean loss
        over the best constant model, and more than a hundredth of that model's loss, a ``NoiseDrownsModel`` is warned of. Where
        it costs more than the whole of that loss, more than any model could gain, the fit is refused (with a log link only
        where it also makes the predicted means wrong by a factor of 1.5). Both depend on the rows: a word to whoever fits, not
        to be published.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: see ``Unlearner.learn_from``.
            NoiseTooLarge: releases would be worse than a constant model.
            ValueError: a parameter that cannot be. Whatever is raised, the estimator stays as it was.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> model = Ridge(alpha=1.0, fit_intercept=False, sigma=0).fit([[1.0], [2.0]], [2.0, 4.0])
            >>> round(float(model.coef_[0]), 6)  # (1·2 + 2·4)/(1² + 2² + alpha)
            1.666667

        Source: theory §5.3.
        """
        turn = getattr(self, "_turn", None) or Turn()
        trial = object.__new__(type(self))
        trial.__dict__.update(self.__dict__, _turn=turn)
        trial._fit(X, y, sample_weight, subjects)
        with turn:
            self.__dict__ = trial.__dict__
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, subjects: Sequence[object] | None) -> None:
        X, y = self._validated(X, y, reset=True)
        self._is_weighted = sample_weight is not None
        by_subject = subjects is not None
        given = Rows.of(X, self._learn_targets(y), sample_weight, texts(subjects))
        rows = self._made(self._weighed(given), by_subject=by_subject)
        objective = self.objective(X.shape[1])
        settings = replace(self.settings(X.shape[1]), by_subject=by_subject)
        self._unlearner = Unlearner.learn_from(objective, rows, settings, noise=self._noise(settings))
        if settings.is_noisy:
            self._unlearner.noise_cost(rows).require_worth()
        self.certificates_: tuple[Certificate, ...] = ()
        self._publish(self._unlearner.release)

    def forget(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        ids: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release from which nobody can tell that these rows were ever learned.

        Args:
            X: the rows to forget, as they were learned, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, ``(n_rows,)``, if the model was fitted with weights, and only then.
            ids: whose each row is, ``(n_rows,)``. Give them: people with equal values, as rows of categories often are, are
                told apart by them, and count as duplicates without. After ``fit(..., subjects=...)`` they are wanted, and
                checked.
            remaining: all rows learned and not forgotten; lets the ladder climb beyond the statistics. It is checked, by a
                pass over them, also where these suffice; with ``track_rows`` by another, which makes their digests.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: see ``Unlearner.forget``; nothing is changed then.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> X, y, people = [[1.0], [0.5], [0.5]], [2.0, 1.0, 1.0], ["ann", "bob", "cid"]
            >>> model = Ridge(sigma=0).fit(X, y, subjects=people)
            >>> model.forget([[0.5]], [1.0], ids=["cid"]).remaining
            2.0
        """
        check_is_fitted(self)
        rows = self.encoded(X, y, sample_weight, ids)
        with self._turn:
            return self._publish(self._unlearner.forget(rows, source(remaining, self._rows_of)))

    def learn(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        subjects: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release that has learned these rows too.

        Args:
            X: the new rows, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, ``(n_rows,)``, if ``fit`` was given weights, and only then.
            subjects: whose each row is, ``(n_rows,)``, if ``fit`` was given subjects, and only then.
            remaining: all rows learned and not forgotten, the new ones included.

        Raises:
            InvalidRows, CapacityExceeded, BudgetSpent: see ``Unlearner.learn``; nothing is changed then.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> model = Ridge(fit_intercept=False, sigma=0).fit([[1.0]], [2.0])
            >>> model.learn([[2.0]], [4.0]).n_learned, round(float(model.coef_[0]), 6)
            (1, 1.666667)
        """
        check_is_fitted(self)
        rows = self._rows_of(X, y, sample_weight, subjects)
        with self._turn:
            return self._publish(self._unlearner.learn(rows, source(remaining, self._rows_of)))

    def rectify(
        self,
        X_old: Any,
        y_old: Any,
        X_new: Any,
        y_new: Any,
        *,
        sample_weight_old: Any = None,
        sample_weight_new: Any = None,
        ids: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release with rows corrected (GDPR Art. 16); ``remaining`` holds the corrected rows.

        Args:
            X_old: the wrong rows, as they were learned, ``(n_rows, n_features)``, dense or CSR.
            y_old: their targets, ``(n_rows,)``.
            X_new: what takes their place, ``(n_new, n_features)``.
            y_new: its targets, ``(n_new,)``.
            sample_weight_old: weights of the wrong rows, ``(n_rows,)``; give both sides' or none.
            sample_weight_new: weights of the new rows, ``(n_new,)``.
            ids: whose each of the wrong rows is; tells people with equal values apart. After ``fit(..., subjects=...)`` each
                row is corrected under its id: there must be as many new rows as old ones.
            remaining: all rows learned and not forgotten, the new ones included and the wrong ones not.

        Raises:
            InvalidRows: see ``Unlearner.rectify``; also weights for one side only, which would count the other side's as 1.
            NotLearned, CapacityExceeded, BudgetSpent: see ``Unlearner.rectify``; nothing is changed then.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> model = Ridge(fit_intercept=False, sigma=0).fit([[1.0], [2.0]], [2.0, 400.0])
            >>> certificate = model.rectify([[2.0]], [400.0], [[2.0]], [4.0])
            >>> certificate.n_forgotten, certificate.n_learned, round(float(model.coef_[0]), 6)
            (1, 1, 1.666667)
        """
        check_is_fitted(self)
        if (sample_weight_old is None) != (sample_weight_new is None):
            raise InvalidRows("a correction needs the weights of the old rows and of the new ones, or neither: give both")
        old = self.encoded(X_old, y_old, sample_weight_old, ids)
        new = self.encoded(X_new, y_new, sample_weight_new, ids if self._unlearner.settings.by_subject else None)
        with self._turn:
            return self._publish(self._unlearner.rectify(old, new, source(remaining, self._rows_of)))

    def refit(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Certificate:
        """The certificate of a new release from a new anchor, on exactly the rows learned and not forgotten.

        With ``track_rows`` a pass makes their digests, and a row that is missing or too many is refused.

        It resets the budget if it is due by ``refit_days`` or ``refit_requests``; before that it is charged like any release.

        Args:
            X: exactly the rows learned and not forgotten, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: ``(n_rows,)``; as for ``fit``.
            subjects: whose each row is, ``(n_rows,)``; as for ``fit``.

        Raises:
            InvalidRows, NotLearned: other rows; to train on other rows use ``fit``.
            CapacityExceeded, BudgetSpent: see ``Unlearner.refit``; nothing is changed then.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
            >>> model = Ridge(sigma=0).fit(X, y)
            >>> certificate = model.forget(X[2:], y[2:])
            >>> str(model.refit(X[:2], y[:2]).rung)
            'refit'
        """
        check_is_fitted(self)
        rows = self._rows_of(X, y, sample_weight, subjects)
        with self._turn:
            return self._publish(self._unlearner.refit(rows))

    def take_over(self) -> None:
        """Lets a copy (a pickle, a ``deepcopy``) release from now on, in the original's place.

        Assumes: the original, and every other copy, releases no more; else the same budget is spent twice.

        Examples:
            >>> import copy, warnings
            >>> from expunge.linear_model import Ridge
            >>> with warnings.catch_warnings(action="ignore"):  # that there are two now
            ...     other = copy.deepcopy(Ridge(sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]))
            >>> other.take_over()
            >>> str(other.forget([[2.0]], [5.0]).rung)
            'exact'
        """
        check_is_fitted(self)
        self._unlearner.take_over()

    @property
    def unlearner_(self) -> Unlearner:
        """The core beneath, secret state and all: for audits and studies.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> type(Ridge(sigma=0).fit([[0.0], [1.0]], [1.0, 3.0]).unlearner_).__name__
            'Unlearner'
        """
        check_is_fitted(self)
        return self._unlearner

    @property
    def certificate_(self) -> Certificate:
        """The certificate of the last release.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> str(Ridge(sigma=0).fit([[0.0], [1.0]], [1.0, 3.0]).certificate_.rung)
            'refit'
        """
        check_is_fitted(self)
        return self.certificates_[-1]

    def capacity(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> CapacityReport:
        """What is used of the capacity to forget, and a forecast of how many more random and worst-case deletions each rung
        will certify; print it for the text. An estimate, for planning.

        Args:
            X: some of the learned rows, or all of them, ``(n_rows, n_features)``; without them the passes cannot be told.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, ``(n_rows,)``; as for ``fit``.

        Raises:
            InvalidRows: rows that do not fit the model.
            ValueError: sigma is 0, so that nothing is promised.

        Examples:
            >>> from expunge.linear_model import LogisticRegression
            >>> X = np.linspace(-1.0, 1.0, 2000)[:, None]
            >>> y = np.arange(2000) % 4 < 2 + np.sign(X[:, 0])
            >>> report = LogisticRegression(sigma=0.1).fit(X, y).capacity(X, y)
            >>> report.changed, report.remaining
            (0.0, 2000.0)
        """
        check_is_fitted(self)
        return self._unlearner.capacity(None if X is None else self.encoded(X, y, sample_weight))

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        require_unmasked(X, "X")  # scikit-learn would read what the mask hides
        require_unmasked(y, "y")
        try:
            X, y = validate_data(
                self, X, y, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_all_finite=False
            )
            return X, column_or_1d(y, warn=True)
        except ValueError as error:
            raise InvalidRows(str(error)) from error

    def encoded(self, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> Rows:
        """Rows as the model learned them: targets as its loss takes them, ids in the form in which they are compared.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.
            y: ``(n_rows,)``.
            sample_weight: ``(n_rows,)``; ``None`` where the model has no weights.
            ids: names of the rows, ``(n_rows,)``; of their subjects, if the model knows any.

        Raises:
            InvalidRows: rows that do not fit the model.

        Examples:
            >>> from expunge.linear_model import LogisticRegression
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "yes", "no", "yes"])
            >>> model.encoded([[4.0]], ["yes"]).y.tolist()
            [1.0]
        """
        is_whose = ids is not None and self._unlearner.settings.by_subject
        return self._made(self._given(X, y, sample_weight, texts(ids) if is_whose else ids), by_subject=is_whose)

    def _given(self, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> Rows:
        X, y = self._validated(X, y, reset=False)
        return self._weighed(Rows.of(X, self._encode_targets(y), sample_weight, ids))

    def _rows_of(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Rows:
        """Rows of ``subjects``, if the model knows any."""
        if subjects is not None and not self._unlearner.settings.by_subject:
            raise InvalidRows("the model was fitted without subjects: give none, or fit it with subjects=")
        return self.encoded(X, y, sample_weight, subjects)

    def _publish(self, release: Release) -> Certificate:
        coef, intercept = self._served(self._unlearner.objective, release.weights)
        self.__dict__.update(coef_=coef, intercept_=intercept, certificates_=(*self.certificates_, release.certificate))
        return release.certificate
