"""Plays cases against the library and blows the whistle: ``Fault`` says what was violated, and how to replay it.

Three games, each fixed by a seed: ``ladder`` judges every rung's bound of one deletion; ``sequence`` judges fifty operations,
with reloads and provoked errors; ``wide`` does the same to models without a Hessian.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from flint import arb

from expunge.engine.local import LocalEngine
from expunge.errors import BudgetSpent, CapacityExceeded, ExpungeError, InvalidRows, NoOptimum, NotLearned
from expunge.privacy import Guarantee, Schedule
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.fitting import fitted
from expunge.unlearning.release import Release
from expunge.unlearning.settings import Settings
from expunge.unlearning.state import State
from expunge.unlearning.storage import load_unlearner, save_unlearner
from expunge.unlearning.unlearner import Unlearner
from tests.referee.accounts import Account, delta_of
from tests.referee.cases import Case, case
from tests.referee.oracle import Optimum, lower

STEPS = 50


class Fault(AssertionError):
    """Something promised did not hold."""


class KnownNoise:
    """Gaussian noise that remembers what it drew, so that it can be taken off again."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self.drawn = np.empty(0)

    def __call__(self, weights: np.ndarray, sigma: float) -> np.ndarray:
        self.drawn = sigma * self._generator.standard_normal(len(weights))
        return weights + self.drawn


class Parts:
    """Rows that come in parts, as from a table; a source that is not ``Rows``."""

    def __init__(self, given: Case, index: np.ndarray) -> None:
        self._given, self._index = given, index

    def batches(self) -> Iterator[Rows]:
        for start in range(0, len(self._index), 7):
            yield self._given.rows(self._index[start : start + 7])


def grid_rounding(parameters: int, sigma: float) -> float:
    """√p · 2^k with 2^k the largest power of two that is at most σ, 40 powers down: what rounding to the grid may add."""
    return math.sqrt(parameters) * 2.0 ** (math.floor(math.log2(sigma)) - 40) if sigma > 0 else 0.0


def snapshot(value: object) -> object:
    """Every bit of a secret, arrays included; equal exactly where nothing has changed."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if is_dataclass(value):
        return tuple((f.name, snapshot(getattr(value, f.name))) for f in fields(value))
    if isinstance(value, tuple | list):
        return tuple(snapshot(v) for v in value)
    return repr(value)


def not_numbers(value: object, path: str = "") -> Iterator[str]:
    """Where in a value there is a NaN."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and np.isnan(value).any():
            yield path
    elif isinstance(value, float):
        if math.isnan(value):
            yield path
    elif is_dataclass(value):
        for f in fields(value):
            yield from not_numbers(getattr(value, f.name), f"{path}.{f.name}")


class Referee:
    """Follows one model through its operations, with the rows present, its own accounts and its own retraining."""

    def __init__(self, given: Case, settings: Settings, held: Iterable[int], replay: str) -> None:
        self.case, self.settings, self.replay = given, settings, replay
        self.held = list(held)
        self.noise = KnownNoise(given.seed)
        self.account = Account()
        self.since_schedule = 0
        self.heaviest = float(given.weights.sum())
        self.afresh: Unlearner | None = None
        self.in_order = True
        self.model = Unlearner.learn_from(given.objective, given.rows(np.array(self.held)), settings, noise=self.noise)
        self.judge(self.model.release, "fit", forgot=0, learned=0)

    def require(self, holds: bool, what: str) -> None:
        """Raises ``Fault`` where ``what`` does not hold."""
        if not holds:
            raise Fault(f"{what}\n  {self.describe()}\n  replay: {self.replay}")

    def describe(self) -> str:
        """The case in a line."""
        c = self.case
        return (
            f"{c.model}, {c.shape} rows as {c.form}{' float32' if c.is_single else ''}, weights {c.weighting}, "
            f"{len(self.held)} held, {self.settings}"
        )

    def reload(self) -> None:
        """Through a file and back: the same secret, bit by bit."""
        before = snapshot(self.comparable())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            save_unlearner(self.model, path)
            self.model = load_unlearner(path)
        self.model._noise = self.noise
        self.require(snapshot(self.comparable()) == before, "a reload changed the secret")

    def comparable(self) -> object:
        """What a file must keep; the inverse is computed again from the Hessian."""
        secret, state = self.model._secret, self.model._secret.state
        kept = [getattr(state, f.name) for f in fields(state) if f.name != "factor"]
        return (*kept, secret.point, secret.budget, secret.n_releases, secret.release.weights)

    def refuses(self, operation: Callable[[], Release], expected: tuple[type[Exception], ...], what: str) -> None:
        """An operation that must be refused, and must leave every bit as it was."""
        before, model = snapshot(self.model._secret), self.model
        try:
            operation()
        except expected:
            pass
        except Exception as error:
            raise Fault(f"{what}: {type(error).__name__}: {error}\n  {self.describe()}\n  replay: {self.replay}") from error
        else:
            self.require(False, f"{what} was not refused")
        self.require(model is self.model and snapshot(self.model._secret) == before, f"{what}: the refusal changed the state")

    def does(
        self, what: str, *given: RowSource, held: Iterable[int], has_rows: bool, forgot: int = 0, learned: int = 0
    ) -> bool:
        """An operation on rows rightly learned: true if it was made, false if it was refused for a reason that is allowed.

        Args:
            what: the operation's name.
            given: its arguments.
            held: the rows present after it.
            has_rows: if they are given.
        """
        before = snapshot(self.model._secret)
        try:
            release = getattr(self.model, what)(*given)
        except (CapacityExceeded, BudgetSpent, NoOptimum) as refusal:
            self.require(snapshot(self.model._secret) == before, f"{what}: the refusal changed the state")
            self.require(self.may_refuse(refusal, held, has_rows), f"{what} was refused: {type(refusal).__name__}: {refusal}")
            return False
        except Exception as error:
            raise Fault(f"{what}: {type(error).__name__}: {error}\n  {self.describe()}\n  replay: {self.replay}") from error
        self.held, self.in_order = list(held), isinstance(given[-1], Rows)
        self.judge(release, what, forgot=forgot, learned=learned)
        if release.certificate.scheduled:
            self.start_afresh()
        elif self.afresh is not None:
            self.follow(what, *given)
        return True

    def start_afresh(self) -> None:
        """The reference from a scheduled refit on: the same by somebody who never saw those forgotten.

        In one order it is a fit on the rows present, bit for bit. Rows that come in parts may lie otherwise where somebody was
        never among them: the reference refits on them in another order.
        """
        source = self.case.rows(np.array(self.held)) if self.in_order else Parts(self.case, np.array(self.held)[::-1])
        self.afresh = Unlearner.learn_from(self.case.objective, source, self.settings, noise=KnownNoise(0))
        mine, other = self.model._secret, self.afresh._secret
        if self.in_order:
            self.require(
                (snapshot(mine.state), snapshot(mine.point)) == (snapshot(other.state), snapshot(other.point)),
                "a scheduled refit is not what a fit on the same rows gives",
            )
            self.afresh = None
        elif isinstance(mine.state, State):
            self.afresh.refit(source)
            self.require_near("refit")
        else:
            self.afresh = None  # nothing was reset: the account goes on

    def follow(self, what: str, *given: RowSource) -> None:
        """The reference makes the same request; where it takes another rung, or refuses, it is left."""
        try:
            other = getattr(self.afresh, what)(*given).certificate
        except ExpungeError:
            self.afresh = None
            return
        mine = self.model.release.certificate
        if (other.rung, other.passes) == (mine.rung, mine.passes):
            self.require_near(what)
        else:
            self.afresh = None

    def require_near(self, what: str) -> None:
        """The reference is no farther than is charged to those forgotten before the refit."""
        mine = self.model._secret
        apart = float(np.linalg.norm(mine.point - self.afresh._secret.point))
        apart += grid_rounding(len(mine.point), self.settings.sigma) if apart > 0 else 0.0
        charged = mine.budget.drift * self.settings.sigma
        self.require(
            apart <= charged or self.settings.sigma == 0 or mine.budget.earlier == 0,
            f"{what}: {apart:.3g} from the same system started afresh, {charged:.3g} charged",
        )

    def may_refuse(self, refusal: ExpungeError, held: Iterable[int], has_rows: bool) -> bool:
        """Whether a right request may be refused so: always where precision ran out, else for want of rows or budget."""
        if "nan" in str(refusal).lower().split():
            return False
        if not self.case.is_tame:
            return True
        if isinstance(refusal, NoOptimum):
            return self.case.optimum(np.array(held)) is None
        size = float(np.linalg.norm(self.model._secret.point))
        is_rounding = self.settings.sigma < 1e-5 * max(1.0, size)
        is_spent = self.account.certified > 0.5 * self.settings.guarantee.mu**2
        return not has_rows or is_rounding or is_spent

    def judge(self, release: Release, what: str, *, forgot: int, learned: int) -> None:
        """All that is promised of a release."""
        secret, certificate, sigma = self.model._secret, release.certificate, self.settings.sigma
        broken = [*not_numbers(certificate, "certificate"), *not_numbers(secret, "secret")]
        self.require(not broken, f"{what}: NaN in {broken}")
        self.judge_weights(release, what)
        self.require(
            (certificate.n_forgotten, certificate.n_learned) == (forgot, learned), f"{what}: {forgot} gone, {learned} new"
        )
        present = float(self.case.weights[self.held].sum())
        self.require(abs(certificate.remaining - present) <= 1e-9 * self.heaviest, f"{what}: {certificate.remaining} remain?")
        found = self.case.optimum(np.array(self.held), secret.point)
        if found is None:
            self.require(math.isinf(certificate.distance_bound), f"{what}: a finite distance to an optimum that is not there")
            return
        distance = found.distance(secret.point)
        charged = arb(certificate.distance_bound) - arb(grid_rounding(len(secret.point), sigma))
        self.require(
            not lower(distance) > charged,
            f"{what}: certified {certificate.distance_bound:.4g} ({certificate.rung} {certificate.passes}), true "
            f"{float(lower(distance)):.4g} and the grid's {grid_rounding(len(secret.point), sigma):.2g}",
        )
        if sigma > 0:
            self.judge_account(release, lower(distance), what, forgot=forgot > 0)
        self.judge_schedule(release, what)

    def judge_weights(self, release: Release, what: str) -> None:
        """The released weights are the secret point and the noise, and the digest is theirs."""
        point = self.model._secret.point
        expected = point + self.noise.drawn if self.settings.sigma > 0 else point
        self.require(np.array_equal(release.weights, expected), f"{what}: the weights are not the point and the noise")
        digest = sha256(release.weights.astype("<f8").tobytes()).hexdigest()
        self.require(release.certificate.weights_digest == digest, f"{what}: the digest is of other weights")

    def judge_account(self, release: Release, distance: arb, what: str, *, forgot: bool) -> None:
        """The joint charge of theory §5.7: true ≤ certified ≤ promised, and only a scheduled refit resets it."""
        certificate, guarantee = release.certificate, self.settings.guarantee
        self.require(certificate.mu * self.settings.sigma >= certificate.distance_bound * (1 - 1e-12), f"{what}: mu too small")
        if not certificate.scheduled:
            self.account = self.account.released(distance=distance, sigma=self.settings.sigma, mu=certificate.mu, forgot=forgot)
        self.require(
            self.account.certified <= certificate.mu_total**2 * (1 + 1e-9),
            f"{what}: releases since the earliest deletion certify {math.sqrt(self.account.certified):.6g} together, the "
            f"certificate says {certificate.mu_total:.6g}",
        )
        self.require(
            not self.account.true > arb(certificate.mu_total) ** 2 * (1 + arb(2) ** -40),
            f"{what}: the joint mu is {float(self.account.true.sqrt()):.6g}, the certificate says {certificate.mu_total:.6g}",
        )
        spent = delta_of(certificate.mu_total, guarantee.epsilon)
        self.require(
            not spent > arb(guarantee.delta), f"{what}: mu_total {certificate.mu_total} gives delta {float(spent)} at epsilon"
        )

    def judge_schedule(self, release: Release, what: str) -> None:
        """A refit is scheduled if it was asked for and is due by count; then it is a fit bit by bit, and resets the account."""
        every, is_scheduled = self.settings.schedule.requests, release.certificate.scheduled
        due = what == "fit" or (what == "refit" and every is not None and self.since_schedule >= every)
        self.require(is_scheduled == due, f"{what}: scheduled = {is_scheduled} after {self.since_schedule} of {every} requests")
        self.since_schedule += 1
        if not is_scheduled:
            return  # what follows is the start of a period; without a Hessian and an order nothing is reset by it
        self.since_schedule = 0
        if self.in_order or isinstance(self.model._secret.state, State):
            self.account = Account()


def command(game: str, seed: int) -> str:
    """How to replay one game."""
    return f"python -m tests.referee {game} {seed}"


def ladder(seed: int) -> int:
    """Every rung of one deletion: its bound against the proved optimum. How many finite bounds were judged."""
    given, settings = case(seed), Settings(Guarantee(1.0, 1e-5), 0.0, order=2 if seed % 2 else 3)
    rng = np.random.default_rng([seed, 1])
    everyone = np.arange(len(given.y))
    gone = deletion(given, everyone, rng, int(rng.integers(1, max(2, len(everyone) // 3))))
    remaining = np.setdiff1d(everyone, gone)
    where = (
        f"\n  {given.model}, {given.shape} rows as {given.form}, weights {given.weighting}\n  replay: {command('ladder', seed)}"
    )
    found: Optimum | None = None
    judged = 0
    try:
        candidate = fitted(given.objective, given.rows(everyone), LocalEngine(), settings)
        judged += _judged(candidate, given.optimum(everyone, candidate.point), "fit", where)
        state = candidate.state.removed(given.rows(gone)) if len(gone) else candidate.state
        for candidate in state.candidates(given.rows(remaining), LocalEngine(), int(rng.integers(4))):
            found = found or given.optimum(remaining, candidate.point)
            judged += _judged(candidate, found, f"{candidate.rung} {candidate.passes}", where)
    except (NotLearned, InvalidRows) as error:
        raise Fault(f"rows rightly learned are refused: {error}{where}") from error
    except NoOptimum as error:
        if given.is_tame and given.optimum(remaining) is not None:
            raise Fault(f"{error}{where}") from error
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"{type(error).__name__}: {error}{where}") from error
    return judged


def _judged(candidate: Any, found: Optimum | None, what: str, where: str) -> int:
    bound = candidate.distance_bound
    if candidate.remainder is not None:
        bound = min(bound, candidate.distance(None, 1.0 / candidate.state.geometry.mu) + candidate.rounding)
    broken = [*not_numbers(candidate, "candidate")]
    if broken and math.isfinite(bound):
        raise Fault(f"{what}: NaN in {broken}{where}")
    if math.isnan(bound):
        raise Fault(f"{what}: the bound is NaN{where}")
    if found is None:
        if math.isfinite(bound):
            raise Fault(f"{what}: a finite distance {bound:.4g} to an optimum that is not there{where}")
        return 0
    if not math.isfinite(bound):
        return 0
    true = lower(found.distance(candidate.point))
    if true > arb(bound):
        raise Fault(f"{what}: certified {bound:.4g}, true {float(true):.4g}{where}")
    return 1


def deletion(given: Case, held: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Rows to forget among ``held``: any, the most influential or one end; each class keeps two rows that weigh something."""
    how = rng.choice(["random", "influential", "first", "last"])
    centred = given.y[held] - np.median(given.y[held])
    order = {
        "random": rng.permutation(len(held)),
        "influential": np.argsort(-np.abs(centred) * np.linalg.norm(given.X[held], axis=1) * given.weights[held]),
        "first": np.arange(len(held)),
        "last": np.arange(len(held))[::-1],
    }[str(how)]
    gone: list[int] = []
    kept = {int(i) for i in held}
    for i in held[order]:
        if len(gone) == count:
            break
        group = [j for j in kept if given.weights[j] > 0 and (not given.objective.loss.classes or given.y[j] == given.y[i])]
        if len(group) > 2 or given.weights[i] == 0:
            gone.append(int(i))
            kept.discard(int(i))
    return np.array(gone, dtype=int)


def sequence(
    seed: int, *, tame: bool = False, memory_budget: float = 2.0**33, steps: int = STEPS, game: str = "sequence"
) -> int:
    """Fifty operations on one model; how many releases were judged."""
    given = case(seed, tame=tame)
    if memory_budget == 0 and given.model.penalty == 0:
        given = replace(given, model=replace(given.model, penalty=1.0))
    rng = np.random.default_rng([seed, 2])
    start = _first_rows(given)
    found = given.optimum(start)
    size = 1.0 if found is None else float(np.linalg.norm(found.as_floats())) or 1.0
    settings = Settings(
        Guarantee(float(10.0 ** rng.uniform(-2, 1)), float(10.0 ** rng.uniform(-10, -3))),
        0.0 if rng.random() < 0.15 else size * float(10.0 ** rng.uniform(-6, 3)),
        max_passes=int(rng.integers(4)),
        memory_budget=memory_budget,
        schedule=Schedule(days=30, requests=None if rng.random() < 0.3 else int(rng.integers(1, 12))),
    )
    try:
        referee = Referee(given, settings, start, command(game, seed))
    except (NoOptimum, CapacityExceeded) as error:
        if given.is_tame and found is not None and settings.sigma > 1e-5 * size:
            raise Fault(f"{error}\n  {given}\n  replay: {command(game, seed)}") from error
        return 0
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"fit: {type(error).__name__}: {error}\n  {given.model}\n  replay: {command(game, seed)}") from error
    judged = 1
    for _ in range(steps):
        judged += _step(referee, rng)
    return judged


def wide(seed: int) -> int:
    """A sequence on a model that keeps no Hessian."""
    return sequence(seed, memory_budget=0.0, steps=12, game="wide")


def _first_rows(given: Case) -> np.ndarray:
    return np.arange(int(0.7 * len(given.y)) + 1)


def _step(referee: Referee, rng: np.random.Generator) -> int:
    """One operation of a sequence; 1 if it gave a release."""
    what = rng.choice(["forget", "learn", "rectify", "refit", "reload", "error"], p=[0.38, 0.16, 0.1, 0.08, 0.06, 0.22])
    if what == "reload":
        referee.reload()
        return 0
    if what == "error":
        _provoke(referee, rng)
        return 0
    given, held = referee.case, np.array(referee.held)
    pool = np.setdiff1d(np.arange(len(given.y)), held)
    gone = deletion(given, held, rng, int(rng.integers(1, 4)))
    new = rng.permutation(pool)[: int(rng.integers(1, 4))]
    if what == "refit":
        return referee.does("refit", _source(given, held, rng), held=held, has_rows=True)
    if (what != "learn" and not len(gone)) or (what != "forget" and not len(new)):
        return 0
    gone = gone if what != "learn" else gone[:0]
    new = new if what != "forget" else new[:0]
    after = np.concatenate([np.setdiff1d(held, gone), new])
    has_rows = bool(rng.random() < 0.6)
    request = [given.rows(part) for part in (gone, new) if len(part)]
    remaining = [_source(given, after, rng)] if has_rows else []
    return referee.does(str(what), *request, *remaining, held=after, has_rows=has_rows, forgot=len(gone), learned=len(new))


def _source(given: Case, index: np.ndarray, rng: np.random.Generator) -> RowSource:
    return Parts(given, index) if rng.random() < 0.3 else given.rows(index)


def _provoke(referee: Referee, rng: np.random.Generator) -> None:
    """A request that must be refused; ``Rows.of`` may be what refuses it."""
    given, held, model = referee.case, np.array(referee.held), referee.model
    heaviest = held[np.argmax(given.weights[held])]
    one, others = held[:1], held[held != heaviest]
    kinds = ["longer", "duplicates", "width", "not_a_number", "empty", "all", "target", "missing_row", "changed_row", "class"]
    kind = str(rng.choice(kinds))
    invalid = (InvalidRows,)
    X, y, weight = given.X[one], given.y[one], None if given.weight is None else given.weight[one]

    def rows(X: np.ndarray, y: np.ndarray) -> Rows:
        return Rows.of(X, y, None if weight is None else np.repeat(weight, len(y)))

    match kind:
        case "longer":
            longest = given.X[np.argmax(np.linalg.norm(given.X, axis=1))]
            wrong = 10.0 * longest + (given.model.intercept and np.full(len(longest), 10.0))
            referee.refuses(lambda: model.forget(rows(wrong[None], y)), (NotLearned,), "a row longer than any learned")
        case "duplicates":
            twice = np.repeat(one, 2)
            referee.refuses(lambda: model.forget(given.rows(twice)), invalid, "a row named twice")
            referee.refuses(lambda: model.forget(given.rows(twice, with_ids=False)), invalid, "a row given twice")
        case "width":
            referee.refuses(lambda: model.forget(rows(np.hstack([X, X]), y)), invalid, "rows of another width")
        case "not_a_number":
            broken = X.copy()
            broken[0, -1] = rng.choice([math.nan, math.inf])
            referee.refuses(lambda: model.forget(rows(broken, y)), invalid, "a row with NaN or inf")
        case "empty":
            referee.refuses(lambda: model.forget(given.rows(one[:0])), invalid, "no rows")
        case "all":
            referee.refuses(lambda: model.forget(given.rows(held)), invalid, "all rows")
        case "target" if given.objective.loss.classes or given.model.loss in (
            "poisson",
            "negative_binomial",
            "gamma",
            "tweedie",
        ):
            referee.refuses(lambda: model.forget(rows(X, np.array([-0.5]))), invalid, "a target that the loss does not take")
        case "missing_row":
            if len(others):
                referee.refuses(lambda: model.refit(given.rows(others)), (InvalidRows, NotLearned), "a refit without a row")
        case "changed_row" if given.is_tame:
            changed = given.rows(held)
            values = given.y[held].copy()
            longest = np.argmax(np.linalg.norm(given.X[held], axis=1))  # a row of zeros has no gradient that could tell
            values[longest] += 1.0
            if given.objective.loss.classes:
                values[longest] %= given.objective.loss.classes
            other = Rows(changed.X, values, changed.sample_weight, changed.ids)
            referee.refuses(lambda: model.refit(other), (InvalidRows, NotLearned), "a refit with another target")
        case "class" if given.objective.loss.classes:
            members = held[given.y[held] == given.y[held[0]]]
            referee.refuses(lambda: model.forget(given.rows(members)), invalid, "all rows of a class")


GAMES: dict[str, Callable[[int], int]] = {"ladder": ladder, "sequence": sequence, "wide": wide}


def play(game: str, seeds: Iterable[int]) -> int:
    """One game after another; how many bounds or releases were judged."""
    return sum(GAMES[game](seed) for seed in seeds)
