"""Summaries: what a fitted model is, promises and weighs, as text and in a notebook as HTML. Evidence: not for publication."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from expunge.unlearning.certificate import EXPANDED, Certificate
from expunge.unlearning.scores import NOT_COVERED, Scores
from expunge.unlearning.unlearner import Unlearner

Array = NDArray[np.float64]

SHOWN = 20
"""Coefficients that are shown: the largest."""


@dataclass(frozen=True)
class Coefficient:
    """A released coefficient.

    Args:
        name: of the feature, with the class where each has its own.
        value: as released.
        noise: standard deviation of the noise in it.
    """

    name: str
    value: float
    noise: float


@dataclass(frozen=True)
class ModelSummary:
    """What a fitted model is, promises and weighs.

    Args:
        title: the estimator.
        certificate: of its last release.
        n_features: width of a row, the intercept not counted.
        classes: labels of a classifier; empty for other models.
        coefficients: all of them, the largest first.
        scores: on rows that were given; ``None`` where none were.
    """

    title: str
    certificate: Certificate = field(repr=False)
    n_features: int
    classes: tuple[str, ...]
    coefficients: tuple[Coefficient, ...] = field(repr=False)
    scores: Scores | None = field(repr=False)

    @classmethod
    def of(
        cls, title: str, unlearner: Unlearner, names: Sequence[str], classes: Sequence[str], scores: Scores | None
    ) -> "ModelSummary":
        """The summary of a model.

        Args:
            title: the estimator.
            unlearner: what is beneath it.
            names: of the features.
            classes: labels of a classifier.
            scores: on rows that were given.
        """
        objective, release = unlearner.objective, unlearner.release
        outputs = classes if objective.loss.outputs > 1 else [""]
        every = [*names, *(["intercept"] if objective.fit_intercept else [])]
        labels = [f"{output}: {name}" if output else name for output in outputs for name in every]
        found = [Coefficient(*each) for each in zip(labels, release.weights.tolist(), unlearner.weight_noise, strict=True)]
        found.sort(key=lambda coefficient: -abs(coefficient.value))
        return cls(title, release.certificate, objective.n_features, tuple(classes), tuple(found), scores)

    @property
    def facts(self) -> dict[str, str]:
        """What is said of the model, by name."""
        made = self.certificate
        amount = f"excess risk {made.excess_risk:.4g}" if made.sigma is None else f"σ = {made.sigma:.4g}"
        classes = {"classes": ", ".join(self.classes)} if self.classes else {}
        return {
            "expanded rows" if EXPANDED in made.assumptions else "rows": f"{made.remaining:,.0f}",
            "parameters": f"{made.n_parameters:,} ({self.n_features:,} features)",
            **classes,
            "promise": f"ε = {made.epsilon:g}, δ = {made.delta:g}",
            "spent": f"ε = {made.epsilon_total:.3g} since {made.since}, in {made.requests:,} releases",
            "noise": f"{made.noise}, {amount}",
            "last release": f"{made.rung}, {made.n_forgotten:,} forgotten, {made.n_learned:,} learned",
        }

    def __str__(self) -> str:
        lines = [self.title, *(f"  {name:<14}{value}" for name, value in self.facts.items())]
        lines += ["", f"  {'coefficient':<30}{'released':>12}{'noise ±':>12}"]
        lines += [f"  {each.name[:29]:<30}{each.value:>12.4g}{each.noise:>12.2g}" for each in self.coefficients[:SHOWN]]
        lines += [f"  … and {left:,} smaller ones"] if (left := len(self.coefficients) - SHOWN) > 0 else []
        lines += [] if self.scores is None else ["", str(self.scores)]
        return "\n".join([*lines, "", NOT_COVERED])

    def _repr_html_(self) -> str:
        return "".join(self._html())

    def _html(self) -> Iterator[str]:
        yield f"<h4>{escape(self.title)}</h4>"
        yield _table([], [[name, value] for name, value in self.facts.items()])
        rows = [[each.name, f"{each.value:.4g}", f"{each.noise:.2g}"] for each in self.coefficients[:SHOWN]]
        yield _table(["coefficient", "released", "noise ±"], rows)
        if self.scores is not None:
            yield f"<pre>{escape(str(self.scores))}</pre>"
        yield f"<p>{escape(NOT_COVERED)}</p>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if heads else ''}<tbody>{body}</tbody></table>"
