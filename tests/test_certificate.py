"""What may be published and what is evidence, and JSON both ways."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from expunge.linear_model import LogisticRegression
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.rung import Bound, Rung


def certificate(seed=0, forget=3, **settings):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] + rng.logistic(size=400) > 0).astype(int)
    model = LogisticRegression(**settings).fit(X, y)
    return model.forget(X[:forget], y[:forget], remaining=(X[forget:], y[forget:])), model


def test_json_round_trip_is_exact():
    for settings in ({}, {"sigma": 0}, {"bound": "worst_case", "row_norm": 6.0, "fit_intercept": False, "sigma": 0.1}):
        found, _model = certificate(**settings)
        assert Certificate.from_json(found.to_json()) == found
        evidence = json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert evidence["epsilon_total"] in ("inf", found.epsilon_total)


@pytest.mark.parametrize("text", ["[]", "{}", '{"epsilon": 1.0}', "no"])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"certificate|Expecting"):
        Certificate.from_json(text)


def test_the_public_view_is_the_same_for_any_data_of_the_same_shape_and_settings():
    views = []
    for seed, forget in ((0, 1), (1, 40), (2, 300)):
        found, _model = certificate(seed, forget)
        view = found.public()
        digest = view.pop("weights_digest")
        views.append(view)
        assert len(digest) == 64
    assert views[0] == views[1] == views[2]


def test_the_public_view_says_nothing_that_depends_on_the_rows():
    found, _model = certificate()
    evidence = {
        "mu",
        "mu_total",
        "distance_bound",
        "rung",
        "passes",
        "n_forgotten",
        "n_learned",
        "remaining",
        "condition",
        "exposure_mu",
        "seconds",
        "epsilon_spent",
        "epsilon_total",
    }
    assert not evidence & set(found.public())
    altered = replace(found, mu=9.0, rung="refit", seconds=1e6, n_forgotten=77)
    assert altered.public() == found.public()


def test_the_claim_lists_its_assumptions_and_what_it_does_not_cover():
    found, _model = certificate()
    text = " ".join(found.public()["assumptions"] + found.public()["caveats"])
    for word in ("Preprocessing", "Hyperparameters", "before the deletion", "other people", "Copies", "anchor", "sigma"):
        assert word.lower() in text.lower()


def test_the_digest_is_of_the_released_weights():
    from hashlib import sha256

    found, model = certificate()
    weights = np.r_[model.coef_.ravel(), model.intercept_].astype("<f8")
    assert found.weights_digest == sha256(weights.tobytes()).hexdigest()


def test_epsilons_are_on_the_safe_side_of_mu():
    found, _model = certificate()
    assert found.epsilon_spent <= found.epsilon_total * (1 + 1e-6)
    assert found.epsilon_total <= found.epsilon == 1.0
    assert replace(found, mu=math.inf).epsilon_spent == math.inf


def test_rungs_and_bounds_come_back_as_what_they_are():
    certificate = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [1.5]], [0, 1, 1, 0]).certificate_
    again = Certificate.from_json(certificate.to_json())
    assert (again.rung, again.bound) == (Rung.REFIT, Bound.LOCAL)
    assert isinstance(again.rung, Rung)
    assert json.loads(certificate.to_json())["rung"] == "refit"
    with pytest.raises(ValueError, match="bound must be 'local', 'worst_case' or 'sekhari2021', got 'paper'"):
        Bound("paper")
