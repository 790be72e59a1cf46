"""The guard of instruction counts: what it compares, that its kernels run, and that a kernel run twice makes it fail."""

import json
import shutil

import pytest

from benchmarks import guard, kernels

BEFORE = {"a": 1_000_000, "b": 2_000_000}
PROFILE = "version: 1\ncreator: callgrind\nevents: Ir\nfn=(1) kernel\n1 5\n\nsummary: 123\n\ntotals: 123\n"


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({"a": 1_000_000, "b": 2_000_000}, {}),
        ({"a": 1_099_999, "b": 2_199_999}, {}),
        ({"a": 500_000, "b": 2_000_000}, {}),
        ({"a": 1_000_000, "b": 2_200_001}, {"b": 1.1000005}),
        ({"a": 2_000_000, "b": 4_000_000}, {"a": 2.0, "b": 2.0}),
    ],
)
def test_more_than_a_tenth_more_is_slower(now, found):
    assert guard.slower(BEFORE, now) == pytest.approx(found)


def test_a_kernel_that_was_never_counted_is_named():
    with pytest.raises(SystemExit, match=r"'c' is in one of both only: python -m benchmarks.guard --store"):
        guard.slower(BEFORE, {**BEFORE, "c": 1})


def test_totals_are_read_from_a_profile():
    assert guard.instructions(PROFILE) == 123
    with pytest.raises(SystemExit, match="without a total"):
        guard.instructions("version: 1\n")


def run_main(monkeypatch, now, tmp_path, *arguments):
    monkeypatch.setattr(guard, "counted", lambda: now)
    monkeypatch.setattr(guard, "measured_with", lambda: {"numpy": "2.4"})
    monkeypatch.setattr(guard, "STORED", tmp_path / "instructions.json")
    monkeypatch.setattr("sys.argv", ["guard", *arguments])
    guard.main()


def test_the_command_passes_where_nothing_changed_and_fails_where_a_kernel_is_run_twice(monkeypatch, tmp_path, capsys):
    run_main(monkeypatch, BEFORE, tmp_path, "--store")
    run_main(monkeypatch, BEFORE, tmp_path)
    assert "SLOWER" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1 of 2 kernels take more than a tenth more instructions"):
        run_main(monkeypatch, {**BEFORE, "a": 2_000_000}, tmp_path)
    assert "SLOWER" in capsys.readouterr().out


def test_other_versions_than_those_of_the_stored_counts_are_told(monkeypatch, tmp_path, capsys):
    run_main(monkeypatch, BEFORE, tmp_path, "--store")
    kept = json.loads((tmp_path / "instructions.json").read_text())
    kept["measured with"]["numpy"] = "1.26"
    (tmp_path / "instructions.json").write_text(json.dumps(kept))
    run_main(monkeypatch, BEFORE, tmp_path)
    assert "note: numpy is 2.4, and was 1.26" in capsys.readouterr().out


def test_the_stored_counts_are_of_the_kernels_there_are():
    stored = json.loads(guard.STORED.read_text())
    assert list(stored["instructions"]) == list(kernels.KERNELS)
    assert {"numpy", "blas", "machine", "valgrind"} <= set(stored["measured with"])


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_every_kernel_runs_and_is_entered_once(name, monkeypatch):
    entered = []
    one = kernels.Counted.__imatmul__

    def noticed(self, kernel):
        entered.append(kernel)
        return one(self, kernel)

    monkeypatch.setattr(kernels.Counted, "__imatmul__", noticed)
    kernels.main([name])
    assert len(entered) == 1


TWICE = """
import sys
from benchmarks import kernels
made = kernels.KERNELS[sys.argv[1]]
def twice():
    kernel = made()
    return lambda: (kernel(), kernel())
kernels.KERNELS[sys.argv[1]] = twice
kernels.main(sys.argv[1:])
"""


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_counts_are_the_same_twice_and_a_kernel_run_twice_is_noticed():
    name = "1,000 rows of the ledger sealed"
    first, second = guard.counted([name]), guard.counted([name])
    assert second[name] == pytest.approx(first[name], rel=0.01)
    assert guard.slower(first, second) == {}
    planted = guard.counted([name], ["-c", TWICE])
    assert guard.slower(first, planted)[name] == pytest.approx(2.0, rel=0.02)
