"""An unlearner as a safetensors file: its secret state, versioned, with a checksum, and no pickle. Theory §4.2.

The file is written beside its place and renamed, so that it is whole or not there; it is readable by its owner alone. The
inverse of the Hessian is not stored but recomputed.
"""

import hashlib
import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from expunge.engine import Engine
from expunge.engine.local import LocalEngine
from expunge.errors import NoOptimum, StateCorrupt
from expunge.files import write_file
from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.higher import HigherSums, Reference
from expunge.numerics.moments import Moments
from expunge.numerics.statistics import RowExtremes, Statistics, Sums
from expunge.numerics.support import Support
from expunge.numerics.tensor import SymmetricTensor
from expunge.privacy import Guarantee, PrivacyBudget, Schedule
from expunge.privacy.noise import secure_noise
from expunge.problem.losses import LOSSES
from expunge.problem.objective import Objective
from expunge.unlearning.anchored import AnchoredState
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.dense import DenseState
from expunge.unlearning.exposure import History, Recorded
from expunge.unlearning.learned import LearnedRows
from expunge.unlearning.mechanism import mechanism
from expunge.unlearning.release import Release, Secret
from expunge.unlearning.settings import Settings
from expunge.unlearning.state import State
from expunge.unlearning.unlearner import Unlearner, secret_of
from expunge.unlearning.wide import WideState

FORMAT = "expunge-state"
VERSION = 5
OLDER = 4
"""The version before, whose files hold nothing beyond the Hessian, which a refit adds, isotropic noise, which they keep, and of
earlier releases their number alone: for the exposure of rows that leave later, each of these counts as the last one."""
SCALARS = ("anchor", "n_rows", "count", "count_error", "gradient_error", "hessian_error", "is_weighted")
"""Of ``Sums``."""


def save_unlearner(unlearner: Unlearner, path: str | os.PathLike[str]) -> None:
    """Writes the unlearner to ``path``, atomically and readable by its owner alone.

    Args:
        unlearner: whose state is kept; it is secret.
        path: of the file; an older one is replaced at once.

    Raises:
        OSError: the file cannot be written; an older file at ``path`` is then untouched.

    Examples:
        >>> import tempfile
        >>> from expunge.linear_model import Ridge
        >>> unlearner = Ridge(sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).unlearner_
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_unlearner(unlearner, f"{folder}/model.safetensors")
        ...     again = load_unlearner(f"{folder}/model.safetensors")
        >>> bool((again.release.weights == unlearner.release.weights).all())
        True
    """
    secret = secret_of(unlearner)
    learned = secret.learned
    state, statistics = secret.state, secret.state.statistics
    tensors: dict[str, NDArray[Any]] = {
        "anchor": state.anchor,
        "gradient_sum": statistics.gradient_sum,
        **({"hessian_sum": statistics.hessian_sum} if isinstance(statistics, Statistics) else {}),
        **_beyond_tensors(state),
        "class_rows": statistics.class_rows.astype(np.float64),
        "point": secret.point,
        "weights": secret.release.weights,
        **_history_tensors(secret.history),
    }
    content: dict[str, Any] = {
        "objective": {
            **asdict(state.objective),
            "loss": {**asdict(state.objective)["loss"], "name": state.objective.loss.name},
        },
        "settings": asdict(unlearner.settings),
        "statistics": {name: getattr(statistics, name) for name in SCALARS},
        "extremes": asdict(state.extremes),
        "state": _scalars(state),
        "beyond": _beyond_scalars(state),
        "budget": asdict(secret.budget),
        "n_releases": secret.n_releases,
        "history": _history_scalars(secret.history),
        "certificate": secret.release.certificate.to_json(),
    }
    tensors = {name: np.ascontiguousarray(value, dtype="<f8") for name, value in tensors.items()}
    if (moments := secret.moments) is not None:
        keys = sorted(moments.sums)
        shape = (len(keys), moments.width, moments.width)
        tensors["moments"] = np.array([moments.sums[key] for key in keys], dtype="<i8").reshape(shape)
        content["moments"] = {"n_rows": moments.n_rows, "units": moments.units, "keys": keys}
    if learned is not None:
        content["learned"] = {"key": learned.key.hex(), "by_subject": learned.by_subject}
        tensors["learned"] = learned.digests
    text = json.dumps(content, sort_keys=True)
    metadata = {"format": FORMAT, "version": str(VERSION), "content": text, "checksum": _checksum(text, tensors, str(VERSION))}
    write_file(Path(path), save(tensors, metadata=metadata))


def load_unlearner(path: str | os.PathLike[str], engine: Engine | None = None) -> Unlearner:
    """The unlearner that ``save_unlearner`` wrote to ``path``; it serves the same release and goes on from there.

    Assumes: it takes the place of the one that wrote the file, which releases no more, and of no later state: a backup of an
    older state that releases again spends the same budget twice.

    Args:
        path: of a file that ``save_unlearner`` wrote.
        engine: what sums over rows from now on; by default threads of this process.

    Raises:
        FileNotFoundError: there is no such file.
        StateCorrupt: truncated, altered, of another version, or not a state file; the message says which.
    """
    path = Path(path)
    path.stat()
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, KeyError) as error:
        raise StateCorrupt(f"{path} is truncated, or is not a state file ({error}): restore a backup, or fit again") from error
    if metadata.get("format") != FORMAT:
        raise StateCorrupt(
            f"{path} is a safetensors file, but not the state of an unlearner: give the file that save_unlearner wrote"
        )
    if metadata.get("version") not in (str(VERSION), str(OLDER)):
        raise StateCorrupt(
            f"{path} has format version {metadata.get('version')}, this library reads {OLDER} and {VERSION}: load it with the "
            "library that wrote it, or fit again"
        )
    text = metadata.get("content", "")
    if _checksum(text, tensors, metadata["version"]) != metadata.get("checksum"):
        raise StateCorrupt(f"{path} was altered after it was written (checksum): restore it from a backup, or fit again")
    try:
        return _unlearner(json.loads(text), tensors, LocalEngine() if engine is None else engine)
    except (KeyError, TypeError, ValueError, NoOptimum) as error:
        raise StateCorrupt(
            f"{path} does not describe an unlearner ({error}): restore it from a backup, or fit again"
        ) from error


def _unlearner(content: dict[str, Any], tensors: dict[str, NDArray[Any]], engine: Engine) -> Unlearner:
    loss = dict(content["objective"].pop("loss"))
    objective = Objective(loss=LOSSES[loss.pop("name")](**loss), **content["objective"])
    fixed = dict(content["settings"])
    guarantee, schedule = Guarantee(**fixed.pop("guarantee")), Schedule(**fixed.pop("schedule"))
    settings = Settings(guarantee=guarantee, schedule=schedule, **fixed).resolved(objective)
    state = _state(objective, settings, content, tensors)
    tensors["weights"].setflags(write=False)
    release = Release(tensors["weights"], Certificate.from_json(content["certificate"]))
    learned = _learned(content["learned"], tensors["learned"]) if "learned" in content else None
    moments = _moments(content["moments"], tensors["moments"]) if "moments" in content else None
    noisy, budget = mechanism(settings, objective, moments), PrivacyBudget(**content["budget"])
    n_releases = content["n_releases"]
    history = _history(content["history"], tensors) if "history" in content else History(unrecorded=n_releases)
    secret = Secret(state, learned, moments, noisy, tensors["point"], budget, n_releases, history, release)
    return Unlearner(settings, secret, engine, secure_noise)


def _moments(content: dict[str, Any], sums: NDArray[np.int64]) -> Moments:
    keys = [(code, exponent) for code, exponent in content["keys"]]
    parts = {key: np.ascontiguousarray(part, dtype=np.int64) for key, part in zip(keys, sums, strict=True)}
    first, second = content["units"]
    return Moments(sums.shape[1], content["n_rows"], (first, second), parts)


def _learned(content: dict[str, Any], digests: NDArray[np.uint64]) -> LearnedRows:
    return LearnedRows(bytes.fromhex(content["key"]), content["by_subject"], digests)


def _scalars(state: AnchoredState) -> dict[str, float]:
    return {field.name: getattr(state, field.name) for field in fields(state) if field.type in (float, "float")}


def _state(
    objective: Objective, settings: Settings, content: dict[str, Any], tensors: dict[str, NDArray[np.float64]]
) -> AnchoredState:
    class_rows = tensors["class_rows"].astype(np.int64)
    sums: dict[str, Any] = {"class_rows": class_rows, "gradient_sum": tensors["gradient_sum"]} | content["statistics"]
    common: dict[str, Any] = {
        "objective": objective,
        "anchor": tensors["anchor"],
        "extremes": RowExtremes(**content["extremes"]),
    }
    if "hessian_sum" not in tensors:
        return WideState(statistics=Sums(**sums), **common, **content["state"])
    statistics = Statistics(**sums, hessian_sum=tensors["hessian_sum"])
    factor = Factor.of(Hessian(objective, statistics.hessian_sum, statistics.count))
    beyond: dict[str, Any] = {"order": settings.order_for(objective)}  # a file without more gains it at a refit
    beyond |= _beyond(content["beyond"], tensors) if content.get("beyond") else {}
    return DenseState(statistics=statistics, factor=factor, **common, **content["state"], **beyond)


def _beyond_tensors(state: AnchoredState) -> dict[str, NDArray[Any]]:
    """What a state keeps beyond its Hessian (theory §4.7)."""
    if not isinstance(state, State) or state.higher is None or state.reference is None or state.support is None:
        return {}
    third = state.higher.third
    return {
        "leverage_sum": state.higher.leverage_sum,
        "reference_root": state.reference.root,
        "reference_hessian": state.reference.hessian,
        "support_largest": state.support.largest,
        "support_together": state.support.together,
        **({} if third is None else {"third": third.packed}),
    }


def _beyond_scalars(state: AnchoredState) -> dict[str, float] | None:
    if not isinstance(state, State) or state.higher is None or state.reference is None:
        return None
    higher = state.higher
    return {
        "leverage_error": higher.leverage_error,
        "third_error": higher.third_error,
        "third_size": higher.third_size,
        "eta": state.reference.eta,
    }


def _beyond(content: dict[str, Any], tensors: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    third = SymmetricTensor(len(tensors["anchor"]), tensors["third"]) if "third" in tensors else None
    errors = {name: content[name] for name in ("leverage_error", "third_error", "third_size")}
    return {
        "higher": HigherSums(leverage_sum=tensors["leverage_sum"], third=third, **errors),
        "reference": Reference(tensors["reference_root"], tensors["reference_hessian"], content["eta"]),
        "support": Support(tensors["support_largest"], tensors["support_together"] > 0.0),
    }


def _history_tensors(history: History) -> dict[str, NDArray[Any]]:
    recorded = history.recorded
    return {} if recorded is None else {"released_mean": recorded.mean, "released_scatter": recorded.scatter}


def _history_scalars(history: History) -> dict[str, Any]:
    recorded = history.recorded
    of_recorded = None if recorded is None else {"weight": recorded.weight, "mu_squared": recorded.mu_squared}
    return {"unrecorded": history.unrecorded, "recorded": of_recorded}


def _history(content: dict[str, Any], tensors: dict[str, NDArray[np.float64]]) -> History:
    if content["recorded"] is None:
        return History(content["unrecorded"])
    recorded = Recorded(mean=tensors["released_mean"], scatter=tensors["released_scatter"], **content["recorded"])
    return History(content["unrecorded"], recorded)


def _checksum(text: str, tensors: dict[str, NDArray[Any]], version: str) -> str:
    digest = hashlib.sha256((text if version == "4" else f"{version}\0{text}").encode())  # the fourth did not cover it
    for name in sorted(tensors):
        digest.update(f"\0{name}{tensors[name].dtype.str}{tensors[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
