"""Pipeline: raw rows in, for ``fit`` as for ``forget``; the model at its end is the only thing that has learned from them."""

from collections.abc import Sequence
from typing import Any, Self

from sklearn.pipeline import Pipeline as SklearnPipeline
from sklearn.utils import get_tags

from expunge.linear_model.base import UnlearningModel
from expunge.linear_model.given import Remaining
from expunge.linear_model.summary import ModelSummary
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.report import CapacityReport


class Pipeline(SklearnPipeline):
    """scikit-learn's ``Pipeline`` with a model of ``expunge.linear_model`` at its end, which forgets raw rows.

    The steps before it are not fitted: they must be of the kind that needs no fit, as ``SchemaEncoder`` is. What a fitted
    scaler or encoder remembers of a person, no model can forget. Parameters are those of scikit-learn's ``Pipeline``.

    Examples:
        >>> from expunge.data.schema import Category, FeatureSchema, Number
        >>> from expunge.linear_model import Ridge
        >>> from expunge.pipeline import SchemaEncoder
        >>> schema = FeatureSchema({"age": Number(0, 100), "plan": Category(("basic", "gold"))}, normalise=False)
        >>> X = {"age": [20, 40, 60, 80], "plan": ["basic", "gold", "basic", "gold"]}
        >>> model = Pipeline([("encode", SchemaEncoder(schema)), ("model", Ridge(sigma=0))]).fit(X, [1.0, 2.0, 3.0, 4.0])
        >>> model.forget({"age": [80], "plan": ["gold"]}, [4.0]).remaining
        3.0
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Self:
        """The fitted pipeline.

        Args:
            X: raw rows, as the first step takes them.
            y: ``(n_rows,)``.
            sample_weight: as for the model's ``fit``. Default: none.
            subjects: whose each row is, ``(n_rows,)``. Default: none.

        Raises:
            ValueError: a step that would have to be fitted, or a last step that cannot forget.
            InvalidRows, NoOptimum, CapacityExceeded, NoiseTooLarge: as of the model's ``fit``.
        """
        model = self._model
        self._require_stateless()
        model.fit(self._encoded(X), y, sample_weight, subjects)
        return self

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
            X: the raw rows to forget, as they were learned.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, if the model was fitted with weights. Default: none.
            ids: whose each row is, ``(n_rows,)``. Default: none.
            remaining: all rows learned and not forgotten, raw as ``X``; or a ``RowSource``, whose rows are encoded.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: as of the model's ``forget``; nothing is changed then.
        """
        rest = self._remaining(remaining)
        return self._model.forget(self._encoded(X), y, sample_weight=sample_weight, ids=ids, remaining=rest)

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
            X: the new raw rows.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, if the model was fitted with weights. Default: none.
            subjects: whose each row is, if the model was fitted with subjects. Default: none.
            remaining: as for ``forget``, the new rows included.

        Raises:
            InvalidRows, CapacityExceeded, BudgetSpent: as of the model's ``learn``; nothing is changed then.
        """
        rest = self._remaining(remaining)
        return self._model.learn(self._encoded(X), y, sample_weight=sample_weight, subjects=subjects, remaining=rest)

    def rectify(
        self, X_old: Any, y_old: Any, X_new: Any, y_new: Any, *, remaining: Remaining = None, **more: Any
    ) -> Certificate:
        """The certificate of a new release with rows corrected (GDPR Art. 16).

        Args:
            X_old: the wrong rows, raw, as they were learned.
            y_old: their targets, ``(n_rows,)``.
            X_new: what takes their place, raw.
            y_new: its targets, ``(n_new,)``.
            remaining: as for ``forget``, the new rows included and the wrong ones not.
            more: ``ids`` and weights, as for the model's ``rectify``.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: as of the model's ``rectify``; nothing is changed then.
        """
        old, new, rest = self._encoded(X_old), self._encoded(X_new), self._remaining(remaining)
        return self._model.rectify(old, y_old, new, y_new, remaining=rest, **more)

    def refit(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Certificate:
        """The certificate of a new release from a new anchor, on exactly the rows learned and not forgotten.

        Args:
            X: these rows, raw.
            y: their targets, ``(n_rows,)``.
            sample_weight: as for ``fit``. Default: none.
            subjects: as for ``fit``. Default: none.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: as of the model's ``refit``; nothing is changed then.
        """
        return self._model.refit(self._encoded(X), y, sample_weight, subjects)

    def capacity(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> CapacityReport:
        """What is used of the model's capacity to forget, and with rows a forecast of what is left.

        Args:
            X: raw rows to forecast from. Default: none.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, if the model was fitted with weights. Default: none.
        """
        return self._model.capacity(None if X is None else self._encoded(X), y, sample_weight)

    def summary(self, X: Any = None, y: Any = None, sample_weight: Any = None, subjects: Any = None) -> ModelSummary:
        """What the model is, promises and weighs, and with raw rows how good it is on them; see the model's ``summary``.

        Args:
            X: raw rows, best ones that the model has not learned. Default: none.
            y: their targets, ``(n_rows,)``.
            sample_weight: their weights, if the model was fitted with weights. Default: none.
            subjects: whose each row is, ``(n_rows,)``. Default: each is a person's own.
        """
        return self._model.summary(None if X is None else self._encoded(X), y, sample_weight, subjects)

    def to_sklearn(self) -> SklearnPipeline:
        """scikit-learn's own pipeline with the released weights and nothing secret: safe to publish."""
        name, model = self.steps[-1]
        return SklearnPipeline([*self.steps[:-1], (name, model.to_sklearn())])

    @property
    def certificate_(self) -> Certificate:
        """Of the last release."""
        return self._model.certificate_

    @property
    def certificates_(self) -> tuple[Certificate, ...]:
        """All since ``fit``."""
        return self._model.certificates_

    @property
    def _model(self) -> UnlearningModel:
        name, model = self.steps[-1]
        if not isinstance(model, UnlearningModel):
            raise ValueError(
                f"the last step, {name!r}, is a {type(model).__name__}, which cannot forget: end with a model of "
                "expunge.linear_model"
            )
        return model

    def _require_stateless(self) -> None:
        for name, step in self.steps[:-1]:
            if step not in (None, "passthrough") and get_tags(step).requires_fit:
                raise ValueError(
                    f"step {name!r}, a {type(step).__name__}, learns from the rows, and would remember those whom the model "
                    "forgets: encode with SchemaEncoder, or take a step that needs no fit"
                )

    def _encoded(self, X: Any) -> Any:
        for _name, step in self.steps[:-1]:
            X = X if step in (None, "passthrough") else step.transform(X)
        return X

    def _remaining(self, remaining: Remaining) -> Remaining:
        """The rows encoded; a source has such already."""
        return (self._encoded(remaining[0]), *remaining[1:]) if isinstance(remaining, tuple) else remaining
