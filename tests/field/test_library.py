"""Wrong rows and equal people, without a table: a row that was never learned, or not like this, is not forgotten."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from expunge.audit import rehearsal
from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows, NotLearned
from expunge.linear_model import LogisticRegression, PoissonRegressor, Ridge, TweedieRegressor
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Places, Rows
from expunge.unlearning.learned import LearnedRows, row_digests
from expunge.unlearning.settings import Settings
from expunge.unlearning.storage import load_unlearner, save_unlearner
from expunge.unlearning.unlearner import Unlearner
from tests.conftest import examples
from tests.copies import pickled
from tests.test_linear_model import checks
from tests.test_sequences import Table
from tests.test_unlearner import snapshot

N = 240
FOUR = [LogisticRegression, Ridge, PoissonRegressor, partial(TweedieRegressor, power=1.5)]
KEY = b"k" * 32


@pytest.fixture(params=FOUR, ids=["logistic", "ridge", "poisson", "tweedie"])
def made(request):
    return request.param


class People:
    """One-hot rows of people, with a target and a weight each; two rows a person, and many rows equal unless they are
    ``distinct``."""

    def __init__(self, made, n=N, *, distinct=False):
        rng = np.random.default_rng(0)
        own = np.arange(n) / n if distinct else rng.integers(1, 9, size=n) / 8
        self.X = np.hstack([*(np.eye(k)[rng.integers(k, size=n)] for k in (3, 2)), own[:, None]])
        t = self.X @ [1.0, 0.0, -1.0, 0.5, -0.5, 0.3]
        self.y = (t + rng.logistic(size=n) > 0).astype(int) if made is LogisticRegression else rng.poisson(np.exp(t)) + 1.0
        self.weight = rng.choice([1.0, 2.0, 3.0], size=n)
        self.ids = [f"person-{i // 2}" for i in range(n)]

    def __getitem__(self, index):
        return self.X[index], self.y[index]


def refused(model, error, match, method, *args, **kwargs):
    """The method raises, and not a bit of the model has changed."""
    before, attributes = pickled(model), dict(vars(model))
    with pytest.raises(error, match=match):
        method(*args, **kwargs)
    assert pickled(model) == before
    assert all(vars(model)[name] is value for name, value in attributes.items())


# weights


@pytest.mark.parametrize("tracking", [False, True])
def test_a_model_with_weights_wants_them(made, tracking):
    people = People(made)
    w, gone, kept = people.weight, slice(0, 2), slice(2, None)
    model = made(sigma=0, track_rows=tracking).fit(*people[:], w)
    missing = partial(refused, model, InvalidRows, "fitted with weights")
    missing(model.forget, *people[gone])
    missing(model.forget, *people[gone], sample_weight=w[gone], remaining=people[kept])
    missing(model.learn, *people[gone])
    missing(model.rectify, *people[:1], *people[1:2])
    missing(model.refit, *people[:])
    assert model.forget(*people[gone], sample_weight=w[gone], remaining=(*people[kept], w[kept])).n_forgotten == 2


@pytest.mark.parametrize("tracking", [False, True])
def test_a_model_without_weights_wants_none(made, tracking):
    people = People(made)
    gone, kept = slice(0, 2), slice(2, None)
    model = made(sigma=0, track_rows=tracking).fit(*people[:])
    too_much = partial(refused, model, InvalidRows, "fitted without weights")
    too_much(model.forget, *people[gone], sample_weight=2)
    too_much(model.forget, *people[gone], remaining=(*people[kept], 1))
    too_much(model.learn, *people[gone], sample_weight=1)
    too_much(model.rectify, *people[:1], *people[1:2], sample_weight_old=1, sample_weight_new=1)
    too_much(model.refit, *people[:], np.ones(N))
    assert model.forget(*people[gone], remaining=people[kept]).n_forgotten == 2


class Mixed:
    """Rows of which some batches come with weights and others without."""

    def __init__(self, *parts):
        self._parts = parts

    def batches(self):
        return iter(self._parts)


@pytest.mark.parametrize("memory_budget", [8e9, 0.0], ids=["hessian", "wide"])
def test_a_missing_weight_counts_as_nothing(memory_budget):
    """Not as 1, without a word: neither in a fit nor in what remains."""
    people = People(LogisticRegression)
    first, second = (Rows.of(people.X[part], people.y[part], people.weight[part]) for part in (slice(0, 99), slice(99, N)))
    plan = Settings(Guarantee(1.0, 1e-5), 0.0, memory_budget=memory_budget)
    objective = Objective(Logistic(), 6)
    bare = replace(second, sample_weight=None)
    with pytest.raises(InvalidRows, match="some rows come with weights and others without"):
        Unlearner.learn_from(objective, Mixed(first, bare), plan)
    model = Unlearner.learn_from(objective, Mixed(first, second), plan)
    with pytest.raises(InvalidRows, match="fitted with weights"):
        model.refit(Mixed(first, bare))
    assert model.refit(Mixed(first, second)).certificate.rung == "refit"


def test_one_number_is_the_weight_of_every_row(made):
    people = People(made)
    one, many = (made(sigma=0, track_rows=True).fit(*people[:], w) for w in (2, np.full(N, 2.0)))

    def both(act):
        """The same of both models: the one is given a number, the other an array of it."""
        found = act(one, lambda _n: np.float64(2.0)), act(many, lambda n: np.full(n, 2.0))
        np.testing.assert_array_equal(one.coef_, many.coef_)
        return found

    both(lambda model, w: model.forget(*people[:4], sample_weight=w(4), ids=range(4)))
    both(lambda model, w: model.learn(*people[:4], sample_weight=w(4), remaining=(*people[:], w(N))))
    both(lambda model, w: model.rectify(*people[:1], *people[1:3], sample_weight_old=w(1), sample_weight_new=w(2)))
    both(lambda model, w: model.rectify(*people[1:3], *people[:1], sample_weight_old=w(2), sample_weight_new=w(1)))
    both(lambda model, w: model.refit(*people[:], w(N)))
    found = both(lambda model, w: model.true_distance(*people[4:], w(N - 4)))
    assert found[0] == found[1]
    noisy = made(sigma=0.05).fit(*people[:], 2)
    assert repr(noisy.capacity(*people[:], 2)) == repr(noisy.capacity(*people[:], np.full(N, 2.0)))
    refused(one, InvalidRows, "sample_weight of row 0 is negative", one.learn, *people[:2], sample_weight=-1.0)
    refused(one, InvalidRows, "sample_weight of row 0 is NaN", one.learn, *people[:2], sample_weight=np.nan)


# rows


MISTAKES = {
    "never learned": lambda X, y, w: (X * [1, 1, 1, 1, 1, 0.999], y, w),
    "another label": lambda X, y, w: (X, 1 - y if y.dtype == int else y + 1, w),
    "another weight": lambda X, y, w: (X, y, w + 0.5),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_row_is_refused(made, mistake):
    people = People(made, distinct=True)
    model = made(sigma=0, track_rows=True).fit(*people[:], people.weight)
    (X, y), w = people[5:8], people.weight[5:8]
    wrong = [part.copy() for part in (X, y, w)]
    for part, value in zip(wrong, MISTAKES[mistake](X[1:2], y[1:2], w[1:2]), strict=True):
        part[1:2] = value
    never = partial(refused, model, NotLearned)
    never("row 1 of the request is not among those learned", model.forget, *wrong[:2], sample_weight=wrong[2])
    never("row bob of the request", model.forget, *wrong[:2], sample_weight=wrong[2], ids=["ann", "bob", "cid"])
    never("row 1 ", model.rectify, *wrong[:2], X, y, sample_weight_old=wrong[2], sample_weight_new=w)
    assert model.forget(X, y, sample_weight=w).n_forgotten == 3


def test_nobody_is_forgotten_twice(made):
    people = People(made, distinct=True)
    model = made(sigma=0, track_rows=True).fit(*people[:])
    again = partial(refused, model, NotLearned, "row 0 .* never learned .* or is forgotten already")
    model.forget(*people[:2])
    again(model.forget, *people[:1])
    model.learn(*people[:1])
    model.forget(*people[:1])
    model.rectify(*people[2:3], *people[:1])
    again(model.forget, *people[2:3])
    again(model.rectify, *people[2:3], *people[2:3])
    assert model.forget(*people[:1]).n_forgotten == 1


def test_the_error_says_which_mistake_it_is_where_that_can_be_told():
    people = People(LogisticRegression, distinct=True)
    i = int(np.argmax(people.weight == 1))
    X, code = people.X[[i]], people.y[i]
    y, other = np.array(["no", "yes"])[[code]], np.array(["no", "yes"])[[1 - code]]
    model = LogisticRegression(sigma=0, track_rows=True).fit(people.X, np.array(["no", "yes"])[people.y], people.weight)
    told = partial(refused, model, NotLearned)
    told(rf"with class code {code} \(classes_\[{code}\]\)", model.forget, X, other, sample_weight=1)
    told("with weight 1", model.forget, X, y, sample_weight=2)
    single = LogisticRegression(sigma=0, track_rows=True).fit((people.X / 3).astype(np.float32), people.y)
    refused(single, NotLearned, "rounded to float32", single.forget, people.X[[i]] / 3, people.y[[i]])
    told("learned 1 time, and is there more often", model.forget, X[[0, 0]], y[[0, 0]], sample_weight=1, ids=["a", "b"])


def test_equal_people_are_a_mistake_until_they_have_ids():
    people = People(Ridge)
    model = Ridge(sigma=0, track_rows=True).fit(np.vstack([people.X, people.X[:1]]), np.r_[people.y, people.y[:1]])
    twice = people[[0, 0]]
    refused(model, InvalidRows, r"are the same.*forget\(X, y, ids=\.\.\.\)", model.forget, *twice)
    assert model.forget(*twice, ids=["ann", "bob"]).n_forgotten == 2


# what remains


@pytest.mark.parametrize("tracking", [False, True])
def test_remaining_is_checked_though_the_statistics_suffice(made, tracking):
    people = People(made, distinct=True)
    model = made(sigma=0.2, track_rows=tracking).fit(*people[:])
    assert rehearsal(model).forget(*people[:1]).rung in ("statistics", "exact")
    swapped = people.X[1:].copy()
    swapped[7] = people.X[0]
    for wrong, tracked, untracked in (
        (people[:], "row 0 of the remaining rows is not among", "240 rows"),
        (people[2:], "1 of the 239 rows learned and not forgotten are not in it", "238 rows"),
        ((swapped, people.y[1:]), "row 7 of the remaining rows .* 1 of the 239 rows", "their gradients differ"),
    ):
        match = tracked if tracking else untracked
        refused(model, (InvalidRows, NotLearned), match, model.forget, *people[:1], remaining=wrong)
    assert model.forget(*people[:1], remaining=people[1:]).rung in ("statistics", "exact")


class Counted:
    """Rows that count how often they are read."""

    def __init__(self, rows):
        self.rows, self.reads = rows, 0

    def batches(self):
        self.reads += 1
        return self.rows.batches()


@pytest.mark.parametrize(("tracking", "passes"), [(False, 1), (True, 2)])
def test_what_the_check_costs(tracking, passes):
    rows = Rows.of(*People(Ridge)[:])
    plan = Settings(Guarantee(1.0, 1e-5), 0.2, track_rows=tracking)
    model = Unlearner.learn_from(Objective(Squared(), 6), rows, plan)
    remaining = Counted(rows.take(slice(1, None)))
    model.forget(rows.take([0]), remaining)
    assert remaining.reads == passes
    remaining = Counted(rows.take(slice(2, None)))
    model.forget(rows.take([1]), remaining, is_known=True)
    assert remaining.reads == 0
    model.require_rows(remaining)
    with pytest.raises((InvalidRows, NotLearned)):
        model.require_rows(rows)


def test_a_pass_is_not_made_twice_for_the_check():
    people = People(LogisticRegression, n=4000)
    rows = Rows.of(*people[:])
    model = Unlearner.learn_from(Objective(Logistic(), 6), rows, Settings(Guarantee(1.0, 1e-5), 2e-4, max_passes=1, order=2))
    remaining = Counted(rows.take(slice(30, None)))
    release = model.forget(replace(rows.take(slice(0, 30)), ids=range(30)), remaining)
    assert (release.certificate.rung, remaining.reads) == ("pass", 1)


def test_a_refit_is_of_exactly_the_rows_learned(made):
    people = People(made, distinct=True)
    model = made(sigma=0, track_rows=True).fit(*people[:])
    model.forget(*people[:1])
    wrong = partial(refused, model, (InvalidRows, NotLearned))
    wrong("1 of the 239 rows", model.refit, *people[2:])
    wrong("row 2 of the remaining rows .* is there more often", model.refit, *people[[*range(1, N), 3]])
    wrong("row 238 of the remaining rows .* is forgotten already", model.refit, *people[[*range(1, N - 1), 0]])
    altered = people.X[1:].copy()
    altered[5, -1] += 2.0**-40  # too little for the gradient to tell
    wrong("row 5 of the remaining rows is not among", model.refit, altered, people.y[1:])
    assert model.refit(*people[1:]).rung == "refit"
    assert model.forget(*people[1:2]).n_forgotten == 1


# subjects


def test_requests_are_checked_by_id(made):
    people = People(made, distinct=True)
    model = made(sigma=0).fit(people.X, people.y, subjects=people.ids)
    mine, rest = [6, 7], np.delete(np.arange(N), [6, 7])
    whose = partial(refused, model, NotLearned)
    whose("row person-4 .* never learned, under this id, with", model.forget, *people[[6]], ids=["person-4"])
    whose("row nobody of", model.forget, *people[mine], ids=["person-3", "nobody"])
    remaining = (*people[rest], None, [people.ids[i] for i in rest])
    without = partial(refused, model, InvalidRows, "fitted with subjects")
    without(model.forget, *people[mine])
    without(model.forget, *people[mine], ids=["person-3"] * 2, remaining=remaining[:2])
    without(model.learn, *people[mine])
    without(model.refit, *people[:])
    assert model.forget(*people[mine], ids=[" person-3\u200b"] * 2, remaining=remaining).n_forgotten == 2
    whose("row person-3 of", model.forget, *people[mine], ids=["person-3"] * 2)
    model.learn(*people[mine], subjects=["person-3", "new"])
    whose("row person-3 of", model.forget, *people[[7]], ids=["person-3"])
    model.rectify(*people[[6]], -people.X[[6]], people.y[[6]], ids=["person-3"])
    assert model.forget(-people.X[[6]], people.y[[6]], ids=["person-3"]).n_forgotten == 1
    assert model.forget(*people[[7]], ids=["new"]).n_forgotten == 1
    assert model.refit(*people[rest], subjects=remaining[3]).rung == "refit"


def test_equal_rows_of_one_person_and_of_two():
    X, y = np.vstack([np.tile([[1.0, 0.0]], (6, 1)), np.eye(2)]), np.ones(8)
    model = Ridge(sigma=0).fit(X, y, subjects=["ann", "ann", "bob", "cid", "cid", "cid", "dan", "eve"])
    two = X[:2], y[:2]
    refused(model, NotLearned, "row bob .* learned 1 time, and is there more often", model.forget, *two, ids=["bob"] * 2)
    assert model.forget(*two, ids=["ann", "ann"]).n_forgotten == 2
    refused(model, NotLearned, "row ann", model.forget, X[:1], y[:1], ids=["ann"])
    assert model.forget(*two, ids=["cid", "bob"]).n_forgotten == 2


def test_ids_are_texts_or_whole_numbers_and_nothing_that_lost_digits():
    people = People(Ridge, n=8, distinct=True)
    model = Ridge(sigma=0).fit(people.X, people.y, subjects=pd.Series(range(7, 15), index=range(100, 108)))
    refused(model, NotLearned, "row 00007", model.forget, *people[:1], ids=["00007"])
    assert model.forget(*people[:1], ids=["7"]).n_forgotten == 1
    for wrong in (["a", "b", None] + ["c"] * 5, [1.5] * 8, ["x"] * 7):
        with pytest.raises(InvalidRows):
            Ridge(sigma=0).fit(people.X, people.y, subjects=wrong)
    plain = Ridge(sigma=0).fit(*people[:])
    refused(plain, InvalidRows, "fitted without subjects", plain.learn, *people[:1], subjects=["a"])
    refused(plain, InvalidRows, "fitted without subjects", plain.refit, *people[:], subjects=list("abcdefgh"))


def test_rows_of_a_table_have_no_subjects():
    rows = Rows(np.ones((2, 1)), np.ones(2), ids=Places("a file", np.arange(2)))
    with pytest.raises(InvalidRows, match="fitted with subjects"):
        row_digests(rows, KEY, by_subject=True)


# how they are kept


def csr_with_zeros(X):
    csr = sparse.csr_array(np.ones_like(X))
    csr.data[:] = X.ravel()
    return csr


REPRESENTATIONS = [
    lambda X: X.astype(np.float32),
    lambda X: X.astype(int),
    lambda X: X.tolist(),
    lambda X: np.where(X == 0, -0.0, X),
    np.asfortranarray,
    sparse.csr_array,
    sparse.coo_array,
    csr_with_zeros,
    lambda X: sparse.csr_array(X.astype(np.float32)),
    pd.DataFrame,
    lambda X: pl.DataFrame(X).to_numpy(),
    torch.tensor,
]


@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=examples(60))
def test_a_digest_is_of_the_values_however_they_are_stored(seed, width, filled):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((5, width)) < filled, rng.integers(1, 9, size=(5, width)), 0).astype(float)
    y, weight = rng.integers(0, 3, size=5).astype(float), rng.integers(1, 3, size=5).astype(float)
    found = row_digests(Rows.of(X, y, weight), KEY, by_subject=False)
    for stored in REPRESENTATIONS:
        rows = Rows.of(stored(X), y, weight)
        np.testing.assert_array_equal(row_digests(rows, KEY, by_subject=False), found)
        parts = [row_digests(part, KEY, by_subject=False) for part in Table(rows, step=2).batches()]
        np.testing.assert_array_equal(np.concatenate(parts), found)
    contents = [(*row, label, w) for row, label, w in zip(X.tolist(), y, weight, strict=True)]
    assert len(set(found.tolist())) == len(set(contents))
    assert not set(found.tolist()) & set(row_digests(Rows.of(X, y, weight), b"l" * 32, by_subject=False).tolist())
    for changed in (Rows.of(X, y + 1, weight), Rows.of(X, y, weight + 1), Rows.of(X + 2.0**-40, y, weight)):
        assert not (row_digests(changed, KEY, by_subject=False) == found).any()


def test_unweighted_rows_count_once_and_targets_of_minus_zero_are_zero():
    X, y = np.ones((2, 2)), np.zeros(2)
    one = row_digests(Rows.of(X, y), KEY, by_subject=False)
    np.testing.assert_array_equal(one, row_digests(Rows.of(X, -y, 1.0), KEY, by_subject=False))


def test_a_row_is_not_told_by_its_bytes_alone():
    """Which values are where, and where the values end and the id begins, goes into the digest."""
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    ids = ["", "\0\0\0\0", "\1\0\0\0", "a", "ab", "b"]
    rows = Rows.of(np.repeat(X, 6, axis=0), np.zeros(36), ids=ids * 6)
    assert len(set(row_digests(rows, KEY, by_subject=True).tolist())) == 36


@pytest.mark.parametrize("memory_budget", [8e9, 0.0], ids=["hessian", "wide"])
def test_a_model_of_batches_knows_its_rows(memory_budget):
    rows = Rows.of(*People(LogisticRegression, distinct=True)[:])
    plan = Settings(Guarantee(1.0, 1e-5), 0.0, memory_budget=memory_budget, track_rows=True)
    model = Unlearner.learn_from(Objective(Logistic(), 6), Table(rows), plan)
    held = model._secret.learned
    np.testing.assert_array_equal(held.digests, np.sort(row_digests(rows, held.key, by_subject=False)))
    kept = rows.take(slice(1, None))
    never = partial(refused_by_value, model)
    never("row 0 of the request", model.forget, Rows.of(rows.X[:1] * 0.9, rows.y[:1]), Table(kept))
    never("row 0 of the remaining rows", model.forget, rows.take([0]), Table(rows))
    never("row 100 of the remaining rows", model.forget, rows.take([0]), Table(rows.take([*range(1, 101), 0, *range(101, N)])))
    never("1 of the 240 rows", model.refit, Table(kept))
    assert model.forget(rows.take([0]), Table(kept)).certificate.n_forgotten == 1


def refused_by_value(model, match, method, *args):
    """The method raises, and not a bit of the secret has changed."""
    before = snapshot(model._secret)
    with pytest.raises((NotLearned, InvalidRows), match=match):
        method(*args)
    assert snapshot(model._secret) == before


def test_a_state_file_knows_its_rows(tmp_path):
    people = People(Ridge)
    for subjects in (None, people.ids):
        model = Ridge(sigma=0, track_rows=True).fit(people.X, people.y, subjects=subjects)
        save_unlearner(model._unlearner, tmp_path / "state")
        again = load_unlearner(tmp_path / "state")
        assert again.settings == model._unlearner.settings
        assert again._secret.learned.key == model._unlearner._secret.learned.key
        ids = None if subjects is None else subjects[:1]
        with pytest.raises(NotLearned):
            again.forget(Rows.of(people.X[:1], people.y[:1] + 1, ids=ids))
        again.forget(Rows.of(people.X[:1], people.y[:1], ids=ids))
        save_unlearner(again, tmp_path / "state")
        left = load_unlearner(tmp_path / "state")._secret.learned.digests
        assert len(left) == N - 1


def test_what_tracking_costs_is_eight_bytes_a_row(tmp_path):
    sizes = []
    for n in (1000, 3000):
        people = People(Ridge, n=n)
        model = Ridge(sigma=0, track_rows=True).fit(people.X, people.y)
        save_unlearner(model._unlearner, tmp_path / "state")
        sizes.append((tmp_path / "state").stat().st_size)
    assert abs(sizes[1] - sizes[0] - 8 * 2000) < 64


def test_nothing_of_a_digest_is_left_or_leaves(tmp_path):
    people = People(Ridge)
    X = np.c_[people.X, np.arange(N) / N]
    model = Ridge(sigma=0.5, track_rows=True).fit(X, people.y)
    unlearner = model._unlearner
    mine = row_digests(Rows.of(X[3:4], people.y[3:4]), unlearner._secret.learned.key, by_subject=False)

    def stored():
        save_unlearner(unlearner, tmp_path / "state")
        return (tmp_path / "state").read_bytes() + pickled(model)

    assert mine.tobytes() in stored()
    certificate = model.forget(X[3:4], people.y[3:4])
    assert mine.tobytes() not in stored()
    assert mine.astype(">u8").tobytes() not in stored()
    said = repr(model) + repr(unlearner._secret) + certificate.to_json() + repr(vars(certificate))
    for secret in (
        unlearner._secret.learned.key.hex(),
        repr(unlearner._secret.learned.key),
        mine.tobytes().hex(),
        str(mine[0]),
    ):
        assert secret not in said
    again = Ridge(sigma=0.5, track_rows=True).fit(X, people.y)
    assert again._unlearner._secret.learned.key != unlearner._secret.learned.key


def test_it_is_an_estimator_like_others(made):
    unmet = {check["check_name"] for check in checks(made(sigma=0, track_rows=True)) if check["status"] != "passed"}
    assert unmet == {"check_array_api_input"}
    people = People(LogisticRegression)
    model = LogisticRegression(sigma=0, track_rows=True)
    assert clone(model).get_params()["track_rows"] is True
    assert len(cross_val_score(model, people.X, people.y, cv=3)) == 3
    twin = rehearsal(model.fit(people.X, people.y))
    assert twin.forget(*people[:1]).n_forgotten == 1
    assert model.forget(*people[:1]).n_forgotten == 1
    with pytest.raises(ValueError, match="track_rows must be"):
        LogisticRegression(track_rows="yes").fit(people.X, people.y)  # type: ignore[arg-type]


# all together


ROW = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2), st.sampled_from([1.0, 2.0]), st.sampled_from("ab"))
"""Two features, a target, a weight, whose it is: so few of each that rows are often equal, or nearly."""
HELD = st.integers(0, 11)
"""A row that the model holds, by its place among them."""
STEP = st.tuples(
    st.sampled_from(["learn", "forget", "rectify", "refit"]),
    st.lists(ROW | HELD | HELD, min_size=1, max_size=3),
    st.lists(ROW, min_size=1, max_size=3),
)


@given(st.lists(ROW, min_size=4, max_size=12), st.lists(STEP, max_size=12), st.booleans())
@settings(max_examples=examples(60))
def test_every_wrong_row_is_refused_and_every_right_one_taken(first, steps, by_subject):
    """Compared with a bag of rows, kept beside the model."""

    def encoded(rows):
        X, y, weight = np.array([row[:2] for row in rows], float), [row[2] for row in rows], [row[3] for row in rows]
        return Rows.of(X, y, weight, [row[4] if by_subject else i for i, row in enumerate(rows)])

    def bag(rows):
        return Counter(row if by_subject else row[:4] for row in rows)

    plan = Settings(Guarantee(1.0, 1e-5), 0.0, track_rows=True, by_subject=by_subject)
    model, held = Unlearner.learn_from(Objective(Squared(), 2), encoded(first), plan), list(first)

    def without(gone):
        kept = list(held)
        for row in gone:
            kept.remove(next(each for each in kept if bag([each]) == bag([row])))
        return kept

    for kind, asked, new in steps:
        old = [held[each % len(held)] if isinstance(each, int) else each for each in asked]
        old = held if kind == "refit" and isinstance(asked[0], int) else old
        gone = old if kind in ("forget", "rectify") else []
        come = new if kind in ("learn", "rectify") else []
        is_right = bag(gone) <= bag(held) and (len(gone) < len(held) or kind == "rectify")
        if kind == "refit":
            is_right = bag(old) == bag(held)
        method = getattr(model, kind)
        arguments = [encoded(rows) for rows in ((old,) if kind == "refit" else (gone, come)) if rows]
        if is_right:
            method(*arguments)
            held = held if kind == "refit" else [*without(gone), *come]
        else:
            refused_by_value(model, ".", method, *arguments)
        learned = model._secret.learned
        np.testing.assert_array_equal(learned.digests, np.sort(row_digests(encoded(held), learned.key, by_subject)))
    assert model.refit(encoded(held)).certificate.rung == "refit"


def test_digests_are_made_of_the_source_in_one_pass():
    rows = Counted(Rows.of(np.ones((9, 1)), np.arange(9.0)))
    held = LearnedRows.of(rows, LocalEngine(), by_subject=False)
    assert (rows.reads, len(held.digests)) == (1, 9)
