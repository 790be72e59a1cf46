"""The lists of faults and survivors keep up with the source: ``make mutants`` takes too long to find out."""

import tomllib
from pathlib import Path

import pytest

from tests.mutants.faults import FAULTS
from tests.mutants.sites import SETTINGS

ROOT = Path(__file__).parents[2]
SURVIVORS = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text())["survivor"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted(fault):
    assert (ROOT / "src/expunge" / fault.path).read_text().count(fault.was) == 1
    file, name = fault.test.split("::")
    assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("survivor", SURVIVORS, ids=lambda survivor: f"{survivor['in']}: {survivor['now']}")
def test_a_survivor_is_of_a_line_that_is_there_and_has_its_reason(survivor):
    lines = (ROOT / "src/expunge" / f"{survivor['in'].split('.')[0]}.py").read_text().splitlines()
    assert survivor["was"] in [line.split("  # ")[0].strip() for line in lines]
    assert len(survivor["why"]) > 20


def test_every_module_has_its_tests():
    for tests in SETTINGS["tests"].values():
        assert all((ROOT / test.split("::")[0]).exists() for test in tests if not test.startswith("-"))
