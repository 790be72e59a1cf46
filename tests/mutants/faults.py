"""Faults that were once in the code or nearly so, planted by name; each with the test that catches it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault planted in the source.

    Args:
        name: what went wrong.
        path: of the file, below ``src/expunge``.
        was: text that occurs once in it.
        now: what the fault makes of it.
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
        "unlearning/ownership.py",
        "        with self._lock:\n            yield",
        "        yield",
        "tests/test_copies.py::test_threads_that_share_an_unlearner_lose_no_row",
    ),
    Fault(
        "a copy releases as if it were the original",
        "unlearning/ownership.py",
        "if self._owner != os.getpid():",
        "if False:",
        "tests/test_copies.py::test_a_copy_warns_and_refuses_to_release_until_it_takes_over",
    ),
    Fault(
        "a refit resets the budget when none is due",
        "unlearning/unlearner.py",
        "charged_mu(cold, noisy), self.is_refit_due, isinstance(source, Rows)",
        "charged_mu(cold, noisy), True, isinstance(source, Rows)",
        "tests/test_unlearner.py::test_the_budget_is_one_filter_over_all_releases_and_only_a_scheduled_refit_resets_it",
    ),
    Fault(
        "a refit that the ladder was forced into is not charged",
        "unlearning/unlearner.py",
        "            budget = budget.charged(charged_mu(candidate, noisy), refit=is_refit, wobble=wobble)",
        "            if not is_refit:\n                budget = budget.charged(charged_mu(candidate, noisy), wobble=wobble)",
        "tests/test_sequences.py::test_a_forced_refit_is_charged_and_resets_nothing",
    ),
    Fault(
        "a scheduled refit starts from the old model",
        "unlearning/fitting.py",
        "    cold = fitted(state.objective, source, engine, settings)\n",
        "    *_, cold = state.candidates(source, engine, 0)\n",
        "tests/test_sequences.py::test_after_a_scheduled_refit_nobody_can_tell_who_was_there_before",
    ),
    Fault(
        "third derivatives stay when a row goes",
        "numerics/higher.py",
        "third=self.third.changed(terms.rows, sign * terms.weights),",
        "third=self.third,",
        "tests/test_third_order.py::test_a_state_of_third_order_forgets_as_if_it_had_never_learned",
    ),
    Fault(
        "between the model and the optimum the Hessian is taken to stay as it is",
        "unlearning/ladder.py",
        "or_infinite((decrement + change * energy) * bounds.ROUND_UP)",
        "or_infinite(decrement * bounds.ROUND_UP)",
        "tests/test_remainder.py::test_the_curvature_between_model_and_optimum_is_charged",
    ),
    Fault(
        "rows are said to pull half as far as their curvature lets them",
        "unlearning/remainder.py",
        "return or_infinite((math.sqrt(top + slack) + inexact) * ROUND_UP)",
        "return or_infinite(0.5 * (math.sqrt(top + slack) + inexact) * ROUND_UP)",
        "tests/properties/test_bounds.py::test_every_rung_is_an_upper_bound",
    ),
    Fault(
        "leverages stay when a row goes",
        "numerics/higher.py",
        "total = low_rank_update(self.leverage_sum, terms.leverage_root, sign)\n",
        "total = self.leverage_sum.copy()\n",
        "tests/test_third_order.py::test_a_state_of_third_order_forgets_as_if_it_had_never_learned",
    ),
    Fault(
        "rows move farther than their support says",
        "numerics/support.py",
        "return norm(per_output) * (1.0 + gamma(len(columns) + 8))",
        "return 0.5 * norm(per_output)",
        "tests/test_support.py::test_no_row_moves_farther_than_the_support_reaches",
    ),
    Fault(
        "a quarter of the fourth derivative is charged",
        "unlearning/bounds.py",
        "c, c4 = concordance\n    tail = exponential_tail(t, 3)\n",
        "c, c4 = concordance\n    tail = 0.25 * exponential_tail(t, 3)\n",
        "tests/properties/test_bounds.py::test_the_unmutated_bounds_pass_the_mutants_test",
    ),
    Fault(
        "nothing is kept in reserve for refits",
        "privacy/budget.py",
        "return max(REFIT_RESERVE * mu_limit**2, 4.0 * mu * mu)",
        "return 0.0",
        "tests/test_privacy.py::test_the_reserve_is_what_rounding_needs",
    ),
    Fault(
        "the reserve is one for all, whatever rounding needs",
        "privacy/budget.py",
        "return max(REFIT_RESERVE * mu_limit**2, 4.0 * mu * mu)",
        "return REFIT_RESERVE * mu_limit**2",
        "tests/test_privacy.py::test_the_reserve_is_what_rounding_needs",
    ),
    Fault(
        "the inversion of delta is believed, and fails for a tiny epsilon",
        "privacy/guarantee.py",
        "while log_delta(epsilon, mu) > math.log(delta):\n        mu *=",
        "while False:\n        mu *=",
        "tests/test_privacy.py::test_mu_is_never_too_large_however_small_epsilon_and_delta_are",
    ),
    Fault(
        "people of earlier periods are not charged for drift",
        "privacy/budget.py",
        "earlier = _raised(self.earlier, (drift + wobble) ** 2) if self.earlier > 0 else 0.0",
        "earlier = self.earlier",
        "tests/test_privacy.py::test_everyone_is_charged_what_theory_5_7_says",
    ),
    Fault(
        "several outputs cost what the largest curvature does",
        "problem/losses/classification.py",
        "return 1.0 - 1.0 / self.n_classes",
        "return self.curvature_bound",
        "tests/test_cost.py::test_a_classifier_spends_what_was_asked_for_and_no_more",
    ),
    Fault(
        "a model that its noise drowns is released without a word",
        "linear_model/base.py",
        "        if settings.is_noisy:\n            self._unlearner.noise_cost",
        "        if False:\n            self._unlearner.noise_cost",
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
        "old = self.encoded(X_old, y_old, sample_weight_old, ids)",
        "old = self.encoded(X_old, y_old, 1.0, ids)",
        "tests/test_linear_model.py::test_rectify_with_weights_matches_retraining",
    ),
    Fault(
        "random_state seeds the noise",
        "linear_model/plan.py",
        "if not settings.is_noisy or self.insecure_seed is None:\n            return secure_noise",
        "if self.random_state is not None:\n            return InsecureNoise(self.random_state)\n"
        "        if not settings.is_noisy or self.insecure_seed is None:\n            return secure_noise",
        "tests/test_linear_model.py::test_noise_is_on_by_default_and_never_seeded",
    ),
    Fault(
        "a NumPy number as a parameter breaks the reloaded model",
        "problem/losses/regression.py",
        'object.__setattr__(self, "scale", real("scale", self.scale))',
        "pass",
        "tests/test_linear_model.py::test_numpy_numbers_as_parameters_survive_a_reload",
    ),
    Fault(
        "the digest of the evidence has no salt",
        "unlearning/release.py",
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
    Fault(
        "duplicate entries of a sparse row are taken one by one",
        "problem/arrays.py",
        "csr = csr.tocsc().tocsr()  # sorts, and keeps the order of equal indices\n            csr.sum_duplicates()\n",
        "csr.has_canonical_format = True\n",
        "tests/properties/test_representations.py::test_the_rows_of_a_term_count_have_their_true_norms",
    ),
    Fault(
        "sparse rows in no canonical form get past the door",
        "problem/rows.py",
        'if sparse.issparse(self.X) and not (self.X.format == "csr" and self.X.has_canonical_format):',
        "if False:",
        "tests/properties/test_representations.py::test_no_other_sparse_form_gets_past_the_door",
    ),
    Fault(
        "magnitudes beyond 1e60 come in",
        "problem/arrays.py",
        "return ~((size <= LARGEST) & ((size >= SMALLEST) | (size == 0)))",
        "return ~(size < math.inf)",
        "tests/referee/test_known.py::test_magnitudes_beyond_1e60_are_refused_at_the_door",
    ),
    Fault(
        "the norm of a row underflows to 0",
        "numerics/row_norms.py",
        "    if xp.any(is_odd):\n",
        "    if False:\n",
        "tests/test_evaluation.py::test_squares_that_over_or_underflow_are_measured_again",
    ),
    Fault(
        "an infinite curvature passes for a bound",
        "unlearning/bounds.py",
        "is_number = 0.0 < self.curvature_floor < math.inf and",
        "is_number = 0.0 < self.curvature_floor and",
        "tests/test_bounds.py::test_a_curvature_that_is_no_positive_number_proves_nothing",
    ),
    Fault(
        "NaN is lost in a bound, because comparisons with it are false",
        "problem/arrays.py",
        "return math.inf if math.isnan(bound) else bound",
        "return bound",
        "tests/properties/test_extremes.py::test_a_bound_of_what_is_no_number_is_no_bound",
    ),
    Fault(
        "the count of the mean form is taken for exact",
        "numerics/rounding.py",
        'return objective.penalty * count_error if objective.form == "mean" else 0.0',
        "return 0.0",
        "tests/properties/test_bounds.py::test_a_heavy_row_that_came_and_went_is_charged",
    ),
    Fault(
        "the rounding of the count is dropped when rows come and go",
        "numerics/statistics.py",
        "self.count_error + other.count_error + rounding,",
        "self.count_error + other.count_error,",
        "tests/test_statistics.py::test_addition_adds_everything_and_every_error",
    ),
    Fault(
        "whether a class is left is asked of its weight, within 1e-9",
        "unlearning/state.py",
        "np.flatnonzero(statistics.class_rows <= 0)",
        "np.flatnonzero(statistics.class_rows <= 1e-9 * max(statistics.count, 1e9))",
        "tests/test_state.py::test_rows_are_counted_in_whole_numbers",
    ),
    Fault(
        "whether a row is left is asked of the weight",
        "unlearning/state.py",
        "if forgotten.n_rows >= learned.n_rows:",
        "if forgotten.count >= learned.count * (1.0 - 1e-12):",
        "tests/test_state.py::test_rows_are_counted_in_whole_numbers",
    ),
    Fault(
        "Gamma's slope is charged rounding by the size of y",
        "numerics/evaluation.py",
        "size = self.loss.term_size(self.t, self._slope, self._curvature_norm)",
        "size = 1.0 + abs(self.rows.y)",
        "tests/properties/test_statistics.py::test_the_bound_on_rounding_is_in_proportion_to_the_terms",
    ),
    Fault(
        "a row that overflows at the anchor ends in an error about nan",
        "unlearning/state.py",
        "        if not grown.statistics.is_bounded:\n",
        "        if False:\n",
        "tests/test_state.py::test_rows_of_which_nothing_is_known_leave_no_certificate",
    ),
    Fault(
        "a row is said never to have been learned because rounding hides it",
        "unlearning/state.py",
        "most = 1.0 + (self.hessian_error + terms.hessian_error) / self.geometry.mu * (1.0 + gamma(8))",
        "most = 1.0",
        "tests/test_state.py::test_a_row_with_more_curvature_than_everything_learned_is_refused",
    ),
    Fault(
        "rounding in later releases is not charged to people of earlier periods",
        "unlearning/unlearner.py",
        "wobble = charged_wobble(candidate, noisy, budget, remaining)",
        "wobble = 0.0",
        "tests/test_sequences.py::test_rows_in_another_order_after_a_refit_cost_their_rounding",
    ),
    Fault(
        "a stalled descent of a wide model passes for a refit",
        "unlearning/wide.py",
        "Rung.REFIT if is_optimum else Rung.PASS",
        "Rung.REFIT",
        "tests/test_wide.py::test_a_descent_that_stalls_ends_in_no_refit",
    ),
    Fault(
        "the digest of a model's specification has no salt",
        "ledger/releases.py",
        'salt = secrets.token_hex(32)\n    values = {"name"',
        'salt = ""\n    values = {"name"',
        "tests/ledger/test_releases.py::test_what_the_log_says_of_a_specification_has_a_salt",
    ),
    Fault(
        "a missing weight counts as 1",
        "problem/objective.py",
        "        if is_weighted is not None:\n",
        "        if False:\n",
        "tests/field/test_library.py::test_a_model_with_weights_wants_them",
    ),
    Fault(
        "the digest of a row leaves out its weight",
        "unlearning/learned.py",
        "enumerate((sizes, rows.y, rows.weight))",
        "enumerate((sizes, rows.y, sizes))",
        "tests/field/test_library.py::test_a_wrong_row_is_refused",
    ),
    Fault(
        "a corrected row makes up for a wrong one that was never learned",
        "unlearning/release.py",
        "learned = learned.removed(self.removed, classes)",
        "learned = (learned if self.added is None else learned.added(self.added)).removed(self.removed, classes)",
        "tests/field/test_library.py::test_nobody_is_forgotten_twice",
    ),
    Fault(
        "remaining is not read where the statistics suffice",
        "unlearning/dense.py",
        "if measure is not None and not is_known:",
        "if False:",
        "tests/field/test_library.py::test_remaining_is_checked_though_the_statistics_suffice",
    ),
    Fault(
        "the covariance is that of the rows before the request",
        "unlearning/unlearner.py",
        "noisy = secret.mechanism if moments is None else mechanism(settings, self.objective, moments)",
        "noisy = secret.mechanism",
        "tests/test_mechanism.py::test_both_sides_draw_with_the_same_covariance_whatever_came_and_went",
    ),
    Fault(
        "rows that go stay in the moments",
        "unlearning/release.py",
        "return moments if self.removed is None else moments - Moments.of(objective, self.removed)",
        "return moments",
        "tests/test_mechanism.py::test_both_sides_draw_with_the_same_covariance_whatever_came_and_went",
    ),
    Fault(
        "every earlier release is charged the last move",
        "unlearning/exposure.py",
        "if self.recorded is not None:",
        "if False:",
        "tests/properties/test_exposure.py::test_each_release_is_charged_its_own_move",
    ),
    Fault(
        "releases are taken to have been as many rows as there are now",
        "unlearning/exposure.py",
        "noisy.scale / state.trace if",
        "noisy.scale / 100.0 if",
        "tests/properties/test_exposure.py::test_each_release_is_charged_its_own_move",
    ),
    Fault(
        "the spread of the releases is left out of the exposure",
        "unlearning/exposure.py",
        "+ max(0.0, spread)",
        "",
        "tests/properties/test_exposure.py::test_a_model_that_swings_back_gave_the_person_away_in_between",
    ),
    Fault(
        "any refit makes later releases cost those forgotten nothing",
        "unlearning/transcript.py",
        "elif certificate.resets_budget and not is_deletion:",
        "elif certificate.n_forgotten == 0 and not is_deletion:",
        "tests/test_transcript.py::test_a_refit_before_its_time_and_a_forced_one_are_charged",
    ),
    Fault(
        "a verifier takes the composed mu on trust",
        "evidence/transcripts.py",
        "    _require_composed(statement)\n    passed(",
        "    passed(",
        "tests/workspace/test_transcripts.py::test_one_that_does_not_follow_from_the_log_and_its_figures_is_refused",
    ),
    Fault(
        "a verifier does not look for releases that a statement leaves out",
        "evidence/transcripts.py",
        "if not listed or listed != [found[:3] for found in logged]:",
        "if False:",
        "tests/workspace/test_transcripts.py::test_one_that_does_not_follow_from_the_log_and_its_figures_is_refused",
    ),
    Fault(
        "the metric of the noise is taken for the Hessian's",
        "unlearning/mechanism.py",
        "        return self._stretch[1]",
        "        return 1.0",
        "tests/test_mechanism.py::test_a_distance_in_the_hessians_metric_is_stretched_into_that_of_the_noise",
    ),
    Fault(
        "rounding of offsets is not charged",
        "numerics/evaluation.py",
        "return reach if self._offsets is None else reach + abs(self._offsets)",
        "return reach",
        "tests/test_offsets.py::test_rounding_of_large_offsets_is_charged",
    ),
    Fault(
        "an offset is left out of the predictor",
        "numerics/evaluation.py",
        "self.t = t if self._offsets is None else t + self._offsets",
        "self.t = t",
        "tests/test_offsets.py::test_it_is_the_optimum_of_the_sum_with_offsets",
    ),
)
