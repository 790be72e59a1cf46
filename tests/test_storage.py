"""State files: they come back whole, and anything else is refused."""

import json
import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from expunge.errors import StateCorrupt
from expunge.problem.losses import Logistic, PseudoHuber, Softmax, Squared
from expunge.unlearning import storage
from expunge.unlearning.rung import Rung
from expunge.unlearning.state import State
from expunge.unlearning.storage import load_unlearner, save_unlearner
from expunge.unlearning.unlearner import secret_of
from tests.test_unlearner import make


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Squared(), PseudoHuber(0.7)], ids=repr)
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_a_loaded_unlearner_goes_on_where_it_stopped(loss, sigma, tmp_path):
    model, at, _n = make(loss=loss, sigma=sigma)
    model.forget(at(0))
    save_unlearner(model, tmp_path / "m.state")
    loaded = load_unlearner(tmp_path / "m.state")
    np.testing.assert_array_equal(loaded.release.weights, model.release.weights)
    assert loaded.release.certificate == model.release.certificate
    assert (loaded.settings, loaded.objective, loaded.n_releases) == (model.settings, model.objective, model.n_releases)
    assert loaded._secret.budget == model._secret.budget
    a, b = model.forget(at(1)).certificate, loaded.forget(at(1)).certificate
    assert a.distance_bound == pytest.approx(b.distance_bound, rel=1e-6)
    assert a.remaining == b.remaining
    np.testing.assert_allclose(model._secret.point, loaded._secret.point, atol=1e-12)
    if sigma:
        assert np.linalg.norm(model.release.weights - loaded.release.weights) > 1e-4  # noise is never stored


@pytest.fixture
def state(tmp_path):
    model, _at, _n = make(n=200)
    path = tmp_path / "m.state"
    save_unlearner(model, path)
    return path


def test_any_flipped_byte_is_found(state):
    whole = state.read_bytes()
    rng = np.random.default_rng(0)
    places = np.unique(np.r_[0:64, rng.integers(len(whole), size=300), len(whole) - 32 : len(whole)])
    for place in places:
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        state.write_bytes(bytes(altered))
        with pytest.raises(StateCorrupt, match=r"m\.state"):
            load_unlearner(state)


def test_truncation_is_found(state):
    whole = state.read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        state.write_bytes(whole[:length])
        with pytest.raises(StateCorrupt, match="truncated, or is not a state file"):
            load_unlearner(state)


def beyond_hessian(unlearner):
    """The order of what is kept beyond the Hessian; ``None`` if nothing is."""
    state = secret_of(unlearner).state
    assert isinstance(state, State)
    return None if state.higher is None else state.order


def test_a_file_of_the_version_before_is_read(tmp_path):
    """Version 4 had nothing beyond the Hessian, and settings without an order."""
    model, at, n = make(loss=Logistic(), sigma=0.05)
    path = tmp_path / "m.state"
    save_unlearner(model, path)
    with safe_open(path, framework="np") as file:
        content = json.loads(file.metadata()["content"])
    later = {"leverage_sum", "third", "reference_root", "reference_hessian", "support_largest", "support_together"}
    later |= {"released_mean", "released_scatter"}
    tensors = {name: values for name, values in load_file(path).items() if name not in later}
    del content["beyond"], content["settings"]["order"], content["history"]
    text = json.dumps(content, sort_keys=True)
    older = {"format": storage.FORMAT, "version": "4", "content": text, "checksum": storage._checksum(text, tensors, "4")}
    save_file(tensors, path, metadata=older)

    loaded = load_unlearner(path)
    assert beyond_hessian(model) == 3 and beyond_hessian(loaded) is None
    certificate = loaded.forget(at(0)).certificate
    assert certificate.rung == Rung.STATISTICS
    assert loaded.true_distance(at(range(1, n))) <= certificate.distance_bound
    assert certificate.distance_bound > model.forget(at(0)).certificate.distance_bound
    loaded.refit(at(range(1, n)))
    assert beyond_hessian(loaded) is not None


def test_what_is_kept_of_the_releases_comes_back(tmp_path):
    model, at, _n = make()
    for i in range(5):
        model.forget(at(i))
    save_unlearner(model, tmp_path / "m.state")
    loaded = load_unlearner(tmp_path / "m.state")
    one, other = (each.forget(at(5)).certificate.exposure_mu for each in (model, loaded))
    assert one == pytest.approx(other, rel=1e-12)


def test_releases_from_before_the_upgrade_count_as_the_last_one(tmp_path):
    model, at, _n = make()
    for i in range(4):
        model.forget(at(i))
    path = tmp_path / "m.state"
    save_unlearner(model, path)
    with safe_open(path, framework="np") as file:
        content = json.loads(file.metadata()["content"])
    del content["history"]
    tensors = {name: values for name, values in load_file(path).items() if not name.startswith("released")}
    text = json.dumps(content, sort_keys=True)
    older = {"format": storage.FORMAT, "version": "5", "content": text, "checksum": storage._checksum(text, tensors, "5")}
    save_file(tensors, path, metadata=older)
    loaded = load_unlearner(path)
    before = secret_of(loaded)
    certificate = loaded.forget(at(4)).certificate
    moved = np.linalg.norm(secret_of(loaded).point - before.point) / 0.05 + certificate.mu
    assert certificate.exposure_mu == pytest.approx(np.sqrt(5) * moved)
    after = secret_of(loaded).history
    assert after.unrecorded == 5 and after.recorded is not None and after.recorded.mu_squared == certificate.mu**2
    before = secret_of(loaded)
    certificate = loaded.forget(at(5)).certificate
    moved = np.linalg.norm(secret_of(loaded).point - before.point) / 0.05 + certificate.mu
    assert certificate.exposure_mu == pytest.approx(np.sqrt(5 + 1) * moved, rel=0.01)


def test_foreign_files_are_refused(state, tmp_path):
    save_file({"a": np.zeros(3)}, state)
    with pytest.raises(StateCorrupt, match="not the state of an unlearner"):
        load_unlearner(state)
    save_file({"a": np.zeros(3)}, state, metadata={"format": "expunge-state", "version": "99"})
    with pytest.raises(StateCorrupt, match="version 99"):
        load_unlearner(state)
    state.write_text("not a state")
    with pytest.raises(StateCorrupt):
        load_unlearner(state)
    with pytest.raises(FileNotFoundError):
        load_unlearner(tmp_path / "nothing")


def test_the_file_is_its_owners_alone_and_writing_is_atomic(state, monkeypatch):
    assert os.stat(state).st_mode & 0o777 == 0o600
    whole = state.read_bytes()
    model, at, _n = make(n=200)
    model.forget(at(0))

    def full(_handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            save_unlearner(model, state)
    assert state.read_bytes() == whole
    assert os.listdir(state.parent) == ["m.state"]


def test_there_is_no_pickle_and_no_seed_in_the_library():
    from pathlib import Path

    import expunge

    for path in Path(expunge.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert "import pickle" not in text, path
        assert "np.random.seed" not in text and "np.random.rand" not in text, path
