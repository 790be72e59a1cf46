"""`expunge reproduce` regenerates every claim on one page, from the bundled data where there is no other."""

import re
import sys

import pytest
from typer.testing import CliRunner

from expunge.audit.figures import new_figure
from expunge.cli import app
from expunge.paper.reproduce.page import Section, Table
from expunge.paper.reproduce.studies import STUDIES, load_study, study_schema

CLAIMS = (
    "Deletion capacity against the number of parameters",
    "Deletion capacity against ε and n",
    "Convex losses, through a ridge term",
    "Sample complexity",
    "What is kept, and what forgetting costs, do not grow with n",
    "In linear models the capacity does not fall with p",
    "Population risk against the number of deletions",
    "Exact on the training loss, and yet worse on the population",
    "The ceiling: no method forgets more than a share of the rows",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduction")
    result = CliRunner().invoke(app, ["reproduce", str(folder), "--data", str(folder / "absent")])
    assert result.exit_code == 0, result.output
    assert all(claim in result.output for claim in CLAIMS)
    return folder


def numbers(text, pattern):
    return [float(number.replace("−", "-").replace(",", "")) for number in re.search(pattern, text).groups()]


def test_every_claim_has_a_section_and_its_figure(page):
    text = (page / "index.md").read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.M) == list(CLAIMS)
    figures = re.findall(r"!\[.+\]\((.+\.svg)\)", text)
    assert sorted(figures) == sorted(path.name for path in page.glob("*.svg"))
    assert len(figures) == 5
    assert "nan" not in text


def test_the_page_finds_what_the_paper_claims(page):
    text = (page / "index.md").read_text()
    newton, dp, linear = numbers(text, r"slopes are (\S+) for the Newton.*?, (\S+) for diff.*? and (\S+) for linear")
    assert newton == pytest.approx(-0.25, abs=0.01)
    assert dp == pytest.approx(-0.5, abs=0.01)
    assert linear == pytest.approx(0.0, abs=0.001)
    in_epsilon = numbers(text, r"slopes in ε: (\S+) and (\S+); in n: (\S+) and (\S+)\.")
    assert in_epsilon == pytest.approx([0.5, 1.0, 1.0, 1.0], abs=0.02)
    assert all(gain > 1 for gain in numbers(text, r"over λ is (\S+) to (\S+) times better"))
    (share,) = numbers(text, r"on average (\S+)·n")
    assert share == pytest.approx(0.2205, abs=0.003)
    sizes = re.findall(r"^\| 1[0,]+ \| (\d+) \|", text, flags=re.M)
    assert len(sizes) == 4
    assert len(set(sizes)) == 1
    changes = r"loss changed by (\S+) and its population risk by (\S+); .*? loss by (\S+) and the held-out loss by (\S+)\.\n"
    training, population, on_census, held_out = numbers(text, changes)
    assert training < 0 < population
    assert on_census < 0 < held_out


def test_absent_data_are_named(page):
    text = (page / "index.md").read_text()
    assert "Left out, for want of their files: hospital, flights, sentiment." in text
    assert "| census | influence |" in text


def test_absent_studies_are_none(tmp_path):
    assert [name for name in STUDIES if load_study(name, tmp_path) is not None] == ["census"]


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(app, ["reproduce", str(tmp_path)])
    assert result.exit_code == 1
    assert "pip install" in result.output
    assert "expunge[plot]" in result.output


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["reproduce", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert "file" in result.output


def test_figures_are_the_same_on_every_run(tmp_path):
    texts = []
    for name in ("one", "two"):
        figure, axis = new_figure()
        axis.plot([1, 2], [3, 4], label="line")
        axis.legend()
        (tmp_path / name).mkdir()
        Section("name", "title", "claim", "finding", [Table(("a", "b"), [("1", "2")])], figure, "what").write(tmp_path / name)
        texts.append((tmp_path / name / "name.svg").read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["hospital", "flights"])
def test_the_schema_of_a_study_is_there(name):
    assert len(study_schema(name).feature_names) > 90
