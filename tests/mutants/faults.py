"""Faults that were once in the code or nearly so, planted by name; each with the test that catches it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault planted in the source.

    Args:
        name: what went wrong.
        path: of the file, below ``src/expunge``.
        was: text that occurs once in it; ``now``: what the fault makes of it.
        test: the test that must fail.
    """

    name: str
    path: str
    was: str
    now: str
    test: str


FAULTS: tuple[Fault, ...] = (
    Fault(
        "threads do not take turns",
        "unlearner.py",
        "        with self._lock:\n            yield",
        "        yield",
        "tests/test_copies.py::test_threads_that_share_an_unlearner_lose_no_row",
    ),
    Fault(
        "a copy releases as if it were the original",
        "unlearner.py",
        "if self._owner != os.getpid():",
        "if False:",
        "tests/test_copies.py::test_a_copy_warns_and_refuses_to_release_until_it_takes_over",
    ),
    Fault(
        "a refit resets the budget when none is due",
        "unlearner.py",
        "if self.is_refit_due:",
        "if True:",
        "tests/test_unlearner.py::test_the_budget_is_one_filter_over_all_releases_and_only_a_scheduled_refit_resets_it",
    ),
    Fault(
        "a refit that the ladder was forced into is not charged",
        "unlearner.py",
        'budget = budget.charged(charged_mu(candidate, settings.sigma), refit=candidate.rung == "refit")',
        'budget = budget if candidate.rung == "refit" else budget.charged(charged_mu(candidate, settings.sigma))',
        "tests/test_sequences.py::test_a_forced_refit_is_charged_and_resets_nothing",
    ),
    Fault(
        "a scheduled refit starts from the old model",
        "ladder.py",
        "    cold = fitted(state.objective, source, engine, memory_budget)\n",
        "    cold = refit(state, source, engine, 0, state.anchor)\n",
        "tests/test_sequences.py::test_after_a_scheduled_refit_nobody_can_tell_who_was_there_before",
    ),
    Fault(
        "nothing is kept in reserve for refits",
        "privacy.py",
        "return max(REFIT_RESERVE * mu_limit**2, 4.0 * mu**2)",
        "return 0.0",
        "tests/test_privacy.py::test_the_reserve_is_what_rounding_needs",
    ),
    Fault(
        "the reserve is one for all, whatever rounding needs",
        "privacy.py",
        "return max(REFIT_RESERVE * mu_limit**2, 4.0 * mu**2)",
        "return REFIT_RESERVE * mu_limit**2",
        "tests/test_privacy.py::test_the_reserve_is_what_rounding_needs",
    ),
    Fault(
        "the inversion of delta is believed, and fails for a tiny epsilon",
        "privacy.py",
        "while log_delta(self.epsilon, mu) > math.log(self.delta):",
        "while False:",
        "tests/test_privacy.py::test_mu_is_never_too_large_however_small_epsilon_and_delta_are",
    ),
    Fault(
        "people of earlier periods are not charged for drift",
        "privacy.py",
        "earlier=_raised(self.earlier, self._drifted))",
        "earlier=self.earlier)",
        "tests/test_privacy.py::test_everyone_is_charged_what_theory_5_7_says",
    ),
    Fault(
        "several outputs cost what the largest curvature does",
        "losses.py",
        "return 1.0 - 1.0 / self.n_classes",
        "return self.curvature_bound",
        "tests/test_cost.py::test_a_classifier_spends_what_was_asked_for_and_no_more",
    ),
    Fault(
        "a model that its noise drowns is released without a word",
        "linear_model/base.py",
        "        if settings.sigma > 0:\n            NoiseCost",
        "        if False:\n            NoiseCost",
        "tests/test_linear_model.py::test_raw_columns_are_refused_and_scaled_ones_are_not",
    ),
    Fault(
        "a failed fit leaves half of a new model",
        "linear_model/base.py",
        "trial = object.__new__(type(self))",
        "trial = self",
        "tests/test_linear_model.py::test_a_failed_fit_changes_nothing",
    ),
    Fault(
        "a correction takes every weight for 1",
        "linear_model/base.py",
        "self._rows(X_old, y_old, sample_weight_old, ids), self._rows(X_new, y_new, sample_weight_new)",
        "self._rows(X_old, y_old, None, ids), self._rows(X_new, y_new)",
        "tests/test_linear_model.py::test_rectify_with_weights_matches_retraining",
    ),
    Fault(
        "random_state seeds the noise",
        "linear_model/base.py",
        "if sigma == 0 or self.insecure_seed is None:\n            return secure_noise",
        "if self.random_state is not None:\n            return InsecureNoise(self.random_state)\n"
        "        if sigma == 0 or self.insecure_seed is None:\n            return secure_noise",
        "tests/test_linear_model.py::test_noise_is_on_by_default_and_never_seeded",
    ),
    Fault(
        "a NumPy number as a parameter breaks the reloaded model",
        "losses.py",
        'object.__setattr__(self, "scale", real("scale", self.scale))',
        "pass",
        "tests/test_linear_model.py::test_numpy_numbers_as_parameters_survive_a_reload",
    ),
    Fault(
        "the digest of the evidence has no salt",
        "release.py",
        "salt=secrets.token_hex(32)",
        'salt=""',
        "tests/service/test_leaks.py::test_the_digest_of_the_evidence_does_not_tell_a_label",
    ),
    Fault(
        "the public log is a clock",
        "ledger/times.py",
        "    return coarse(now()).isoformat()",
        "    return exact()",
        "tests/service/test_leaks.py::test_what_is_published_does_not_depend_on_the_rows",
    ),
)
