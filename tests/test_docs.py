"""What the documentation says is true: its code runs, its sections exist, its commands are there."""

import inspect
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pytest
from markdown.extensions.toc import slugify
from typer.main import get_command
from typer.testing import CliRunner

import expunge
from expunge import linear_model
from expunge.cli import app
from tests.site import SITE
from tests.test_docstrings import methods
from tools import architecture

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SECTION = re.compile(r"§(\d+(?:\.\d+)?)")


def code_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page)], ids=lambda page: page.name)
def test_every_code_block_runs(page, capsys):
    namespace: dict[str, Any] = {}
    for block in code_blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def test_the_companys_day_runs(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name, ids in (("patients", np.arange(400) % 300), ("july", 300 + np.arange(20)), ("patient-31", [31])):
        stays = [{"patient": i, "age": rng.integers(20, 90), "days": rng.integers(1, 15)} for i in ids]
        rows = [{**stay, "readmitted": "yes" if stay["days"] + rng.normal(0, 4) > 7 else "no"} for stay in stays]
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs/workspace.md").read_text(), flags=re.M | re.S)
    assert len(blocks) > 3
    for line in "".join(blocks).splitlines():
        result = CliRunner().invoke(app, line.removeprefix("expunge ").split())
        assert result.exit_code == 0, (line, result.output)


def test_the_commands_of_the_recipes_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs/how-to.md").read_text(), flags=re.M | re.S)
    assert blocks
    for line in "".join(blocks).splitlines():
        result = CliRunner().invoke(app, shlex.split(line.removeprefix("expunge ")))
        assert result.exit_code == 0, (line, result.output)


def test_every_test_that_the_security_page_names_exists():
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/security.md").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_cited_theory_section_exists():
    headings = set(re.findall(r"^#+ §(\d+(?:\.\d+)?) ", (ROOT / "docs/theory.md").read_text(), flags=re.M))
    cited: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for tag in re.findall(r"[Tt]heory (§[^.;)\n]*(?:\.\d[^.;)\n]*)*)", path.read_text()):
            cited |= dict.fromkeys(SECTION.findall(tag), path.name)
    assert len(cited) > 10
    assert {section: where for section, where in cited.items() if section not in headings} == {}


def test_every_cited_section_of_the_design_exists():
    headings = set(re.findall(r"^#+ §(\d+(?:\.\d+)?) ", (ROOT / "docs/design.md").read_text(), flags=re.M))
    citing = [ROOT / "pyproject.toml", *(ROOT / "src").rglob("*.py"), *PAGES]
    tags = [tag for path in citing for tag in re.findall(r"[Dd]esign ((?:§[\d.]+\d|§\d)(?:, §[\d.]*\d)*)", path.read_text())]
    cited = {section for tag in tags for section in SECTION.findall(tag)}
    assert cited
    assert cited <= headings


def test_the_design_says_what_every_dependency_is_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [
        *project["dependencies"],
        *(line for extra in ("verify", "workspace", "dask", "plot", "export") for line in extras[extra]),
    ]
    names = {re.match(r"[\w-]+", line)[0].lower() for line in needed} - {"expunge"}
    page = (ROOT / "docs/design.md").read_text().lower()
    assert {name for name in names if name not in page} == set()


def test_the_picture_of_the_architecture_is_that_of_the_imports():
    assert len(architecture.rooms()) <= 19
    assert architecture.PICTURE.read_text() == architecture.picture(architecture.rooms()), "run python -m tools.architecture"


def test_rooms_that_import_each_other_in_a_circle_are_not_drawn():
    with pytest.raises(ValueError, match="in a circle: a, b"):
        architecture.floors({"a": frozenset("b"), "b": frozenset("a"), "c": frozenset()})


def test_arrows_that_follow_from_others_are_left_out():
    imports = {"top": frozenset({"middle", "low"}), "middle": frozenset({"low"}), "low": frozenset()}
    assert architecture.floors(imports) == [["low"], ["middle"], ["top"]]
    assert architecture.arrows(imports) == [("top", "middle"), ("middle", "low")]


def test_every_file_of_the_package_is_in_the_architecture_page():
    page = (ROOT / "docs/architecture.md").read_text()
    source = ROOT / "src/expunge"
    names = [path.name for path in source.glob("*.py") if path.name != "__init__.py"]
    names += [f"{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target, section in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
            found = page.parent / target if target else page
            assert found.exists(), f"{page.name} links to {target}"
            assert not section or section in sections(found), f"{page.name} links to {target}#{section}"


def test_the_links_of_the_readme_work_on_pypi():
    """There it stands alone: every link is absolute, and begins with an address that pyproject.toml states."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert all(urls[name].startswith(f"{urls['Source']}/") for name in ("Issues", "Changelog"))
    links = re.findall(r"\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert len(links) > 15
    for link in links:
        address, _, section = link.partition("#")
        if address.startswith(f"{urls['Documentation']}/"):
            place = address.removeprefix(f"{urls['Documentation']}/")
            assert place.endswith("/"), link
            pages = [ROOT / "docs" / f"{place.rstrip('/')}.md", ROOT / "docs" / place / "index.md"]
        else:
            assert address.startswith(f"{urls['Source']}/blob/main/"), f"{link} begins with no address of pyproject.toml"
            pages = [ROOT / address.removeprefix(f"{urls['Source']}/blob/main/")]
        found = [page for page in pages if page.is_file()]
        assert found, f"{link} leads to no page"
        assert not section or section in sections(found[0]), link


def sections(page: Path) -> set[str]:
    """The addresses of the headings of a page."""
    return {slugify(title, "-") for title in re.findall(r"^#+ (.*)", page.read_text(), flags=re.M)}


def test_every_file_and_module_that_the_documentation_names_exists():
    for page in PAGES:
        text = page.read_text()
        for name in re.findall(r"\b(?:src|tests|tools|benchmarks|docs)/[\w./-]*\w", text):
            assert (ROOT / name).exists() or name == "benchmarks/results", f"{page.name} names {name}"
        for module in re.findall(r"python -m ((?:tests|tools|benchmarks)[\w.]*)", text):
            folder = ROOT / module.replace(".", "/")
            assert folder.with_suffix(".py").exists() or (folder / "__main__.py").exists(), f"{page.name} runs {module}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adding").glob("*.md")), ids=lambda page: page.stem)
def test_what_a_page_on_adding_something_names_is_in_the_code(page):
    code = "".join(path.read_text() for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py"))
    named = re.findall(r"`([A-Za-z_]\w*)`", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S))
    assert len(named) > 3
    assert [name for name in named if not re.search(rf"\b{name}\b", code)] == []


def test_every_command_is_documented_and_has_help():
    text = "".join(page.read_text() for page in PAGES)
    top: dict[str, Any] = vars(get_command(app))["commands"]
    nested = {f"{name} {sub}": found for name, group in top.items() for sub, found in getattr(group, "commands", {}).items()}
    for name, command in {**top, **nested}.items():
        assert f"expunge {name}" in text, name
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


def test_the_site_builds_without_a_warning(site):
    assert "No issues found" in site
    assert [line for line in site.splitlines() if "griffe:" in line] == []
    reference = (SITE / "reference/estimators/ridge/index.html").read_text()
    assert "from which nobody can tell that these rows were ever learned" in reference  # the docstring of forget
    assert [page for page in SITE.rglob("reference/**/*.html") if "<blockquote>" in page.read_text()] == []  # a stray example


@pytest.mark.parametrize("name", linear_model.__all__)
def test_the_page_of_an_estimator_lists_every_argument_and_every_method(site, name):
    estimator = getattr(linear_model, name)
    (page,) = [
        text
        for path in SITE.glob("reference/estimators/*/*.html")
        if f'"expunge.linear_model.{name}"' in (text := path.read_text())
    ]
    table = page[page.index(">Parameters:<") :]
    listed = re.findall(r"<code>(\w+)</code>", table[: table.index("</table>")])
    assert [argument for argument in inspect.signature(estimator).parameters if argument not in listed] == []
    assert [method for method in methods(estimator) if f'id="expunge.linear_model.{name}.{method}"' not in page] == []


def test_every_page_is_in_the_navigation():
    config = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in config, page


def test_every_public_name_is_in_the_reference():
    text = "".join(page.read_text() for page in (ROOT / "docs/reference").rglob("*.md"))
    modules = re.findall(r"^::: (\S+)", text, flags=re.M)
    missing = []
    for name in [*expunge.__all__, *linear_model.__all__]:
        home = getattr(expunge, name, None) or getattr(linear_model, name)
        room = home.__module__.rpartition(".")[0]
        places = {f"{home.__module__}.{name}", home.__module__, f"{room}.{name}"}
        missing += [] if places & set(modules) else [name]
    assert missing == []


def test_the_readme_shows_both_set_up_commands():
    first_screen = (ROOT / "README.md").read_text()[:1200]
    assert "make demo" in first_screen
    assert "make test" in first_screen


def test_public_names():
    assert sorted(expunge.__all__) == [
        "AnchorMismatch",
        "BudgetSpent",
        "CapacityExceeded",
        "Certificate",
        "ExpungeError",
        "Guarantee",
        "InvalidRows",
        "ModelCopied",
        "ModelCopyWarning",
        "NoOptimum",
        "NoiseDrownsModel",
        "NoiseTooLarge",
        "NotLearned",
        "Objective",
        "PrivacyBudget",
        "Release",
        "RowSource",
        "Rows",
        "Schedule",
        "Settings",
        "StateCorrupt",
        "Statistics",
        "Unlearner",
    ]
    assert all(getattr(expunge, name).__doc__ for name in expunge.__all__)


def test_every_module_says_what_it_is():
    for module in walk_packages(expunge.__path__, "expunge."):
        if module.name == "expunge.ledger.migrations.env":
            continue  # runs inside Alembic alone
        assert import_module(module.name).__doc__, module.name
