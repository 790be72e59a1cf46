"""Tuning: settings against loss and capacity on people held out, and choices by votes that hardly depend on anybody."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.own_columns import SUBJECT, bucket_of
from expunge.data.schema import FeatureSchema
from expunge.errors import InvalidRows
from expunge.workspace.quality import voting
from expunge.workspace.quality.trade_off import tuning_page
from expunge.workspace.quality.tuning import DECLARED, NO_COMBINATIONS, NO_KNOTS, Grid, Trying, variants
from tests.workspace.people import SCHEMA, people, workspace
from tests.workspace.test_quality import tags_of

BENT = SCHEMA.replace("high = 100", "high = 100\nknots = [0, 30, 60, 100]") + (
    '\n[features."both"]\nkind = "cross"\ncolumns = ["age", "job"]\n'
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("tuning"), models=False, table=people(1200, 900), schema=BENT)


def run(*arguments: str, code: int = 0) -> dict:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_schema_is_tried_without_what_makes_it_wider():
    made = variants(FeatureSchema.from_toml(BENT))
    assert {name: len(schema.feature_names) for name, schema in made.items()} == {
        DECLARED: 4 + 3 + 1 + 12,
        NO_KNOTS: 1 + 3 + 1 + 3,
        NO_COMBINATIONS: 4 + 3 + 1,
    }
    assert set(variants(FeatureSchema.from_toml(SCHEMA))) == {DECLARED}
    indicated = FeatureSchema.from_toml(BENT.replace("high = 100", "add_indicator = true\nhigh = 100", 1))
    assert len(variants(indicated)[NO_KNOTS].columns["age"].suffixes) == 2


def test_every_setting_is_scored_as_a_model_of_its_own_would_be(found, tmp_path):
    tuned = found.quality.tune("churn", "churn", penalty=[0.1, 10.0], excess_risk=[0.001, 0.01], delta=1e-5)
    assert len(tuned.tried) == 2 * 2 * 3 and "depends on everybody" in str(tuned)
    made = workspace(tmp_path, models=False, table=people(1200, 900), schema=BENT)
    made.fit("churn", "churn", penalty=10.0, excess_risk=0.001, delta=1e-5)
    (same,) = [each for each in tuned.tried if str(each.setting) == "penalty 10, excess risk 0.001, features as declared"]
    assert same.parameters == 21 and same.capacity > 0
    losses = {str(each.setting): each.scores.released.loss for each in tuned.tried}
    assert min(losses, key=losses.get) == str(tuned.chosen)
    by_risk = {risk: [each for each in tuned.tried if each.setting.excess_risk == risk] for risk in (0.001, 0.01)}
    for quiet, loud in zip(by_risk[0.001], by_risk[0.01], strict=True):
        assert loud.scores.noiseless.loss == pytest.approx(quiet.scores.noiseless.loss, rel=1e-9)
        assert loud.capacity >= quiet.capacity, "more noise hides more people"
    for each in tuned.frontier:
        better = [
            other
            for other in tuned.tried
            if other.scores.released.loss < each.scores.released.loss and other.capacity > each.capacity
        ]
        assert not better
    assert tuned.frontier


def test_the_score_of_a_setting_is_that_of_a_fit(tmp_path):
    made = workspace(tmp_path, models=False)
    tuned = made.quality.tune("churn", "churn", penalty=[3.0], excess_risk=[0.002], delta=1e-5)
    made.fit("churn", "churn", penalty=3.0, excess_risk=0.002, delta=1e-5)
    assert tuned.tried[0].scores.noiseless.loss == pytest.approx(made.quality.evaluate("churn").scores.noiseless.loss, rel=1e-9)
    assert tuned.tried[0].scores.null == made.quality.evaluate("churn").scores.null


def test_the_command_writes_a_table_and_the_figure(found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = str(found.storage.path)
    shown = run("tune", "m", "--target", "churn", "--penalty", "1", "--out", "t.html", "-w", place)
    assert [each["setting"]["excess_risk"] for each in shown["tried"]] == [0.0003, 0.001, 0.003] * 3
    assert any("expunge fit m --target churn --model logistic --epsilon 1" in note for note in shown["notes"])
    page = (tmp_path / "t.html").read_text()
    tags = tags_of(page)
    assert tags.tags.isdisjoint({"script", "link", "img"}) and "http" not in page and page.count("<ellipse") == 9
    assert "Do not publish it" in page and "depends on everybody" in page
    said = CliRunner().invoke(app, ["tune", "m", "--target", "visits", "--model", "poisson", "--penalty", "1", "-w", place])
    assert said.exit_code == 0 and "none is better in both loss and capacity than" in said.output
    assert run("status", "-w", place)["models"] == [], "nothing was fitted for good"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "churn", "--class-weight", "yes"), "takes CLASS=WEIGHT"),
        (("--target", "churn", "--dispersion", "2"), "has no dispersion"),
        (("--target", "shoe"), "no column 'shoe'"),
        (("--target", "churn", "--penalty", "-1"), "C must be positive"),
        (("--target", "churn", "--excess-risk", "0"), "must be positive"),
        (("--target", "churn", "--private", "0"), "must be a positive number"),
        (("--target", "churn", "--private", "nan"), "must be a positive number"),
        (("--target", "churn", "--private", "1", "--excess-risk", "0.1", "--excess-risk", "0.2"), "give one --excess-risk"),
        (("--target", "spend", "--model", "ridge"), "declare column 'spend' as a number with its range"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_the_reason(found, arguments, words):
    assert words in run("tune", "m", *arguments, "-w", str(found.storage.path), code=1)["message"]


def test_what_all_settings_have_in_common_is_in_the_next_command(found):
    more = ("--class-weight", "yes=2", "--penalty", "1", "--excess-risk", "0.01", "--private", "3", "--delta", "1e-5")
    shown = run("tune", "m", "--target", "churn", *more, "-w", str(found.storage.path))
    assert shown["notes"][1].startswith(
        "next: expunge fit m --target churn --model logistic --epsilon 1 --delta 1e-05 --class-weight yes=2 --penalty 1 "
    )


def test_too_few_people_are_not_tuned_on(tmp_path):
    made = workspace(tmp_path, models=False, table=people(24, 20))
    with pytest.raises(InvalidRows, match="a score needs 10"):
        made.quality.tune("m", "age", model="ridge")


# private choices


def settings_of(found, penalty=(0.1, 1.0, 10.0)):
    trying: Trying = {"excess_risk": [0.001], "penalty": penalty}
    grid = Grid.of(found.storage, "churn", trying)
    return list(grid.settings.values())


def groups_of(found):
    rows = found.storage.table.of_subjects(found.storage.table.subjects().to_pylist())
    return rows, np.array([bucket_of(who) // 2 for who in rows[SUBJECT].to_pylist()])


def test_a_person_is_in_one_group_and_moves_only_its_vote(found, monkeypatch):
    seen: list[pa.Table] = []
    settings = settings_of(found)
    counts: list[list[int]] = []

    def vote(rows, _settings):
        seen.append(rows)
        return len(seen) % len(settings)

    def without_noise(votes):
        counts.append(votes)
        return votes

    monkeypatch.setattr(voting, "vote", vote)
    monkeypatch.setattr(voting, "_laplace", lambda _n, _epsilon: without_noise)
    voting.noisy_votes(found.storage, settings, 1.0, ())
    people_of = [set(rows[SUBJECT].to_pylist()) for rows in seen]
    assert len(seen) == 32 and sum(map(len, people_of)) == len(set.union(*people_of)) == 900
    assert sum(len(rows) for rows in seen) == 1200 and sum(counts[0]) == 32
    _rows, group = groups_of(found)
    assert sorted(map(len, seen)) == sorted(np.bincount(group, minlength=32).tolist())


def test_without_a_person_at_most_two_counts_move_by_one(found, monkeypatch):
    """Whoever goes, however much of an outlier."""
    settings = settings_of(found, penalty=[0.01, 1.0])
    monkeypatch.setattr(voting, "_laplace", lambda _n, _epsilon: lambda votes: votes)
    whole = np.array(voting.noisy_votes(found.storage, settings, 1.0, ()))
    assert 25 < whole.sum() <= 32
    for who in found.storage.table.subjects().to_pylist()[:4]:
        left = np.array(voting.noisy_votes(found.storage, settings, 1.0, [who]))
        assert np.abs(whole - left).sum() <= voting.MOST_MOVED


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_the_noise_of_votes_is_laplace_of_scale_two_over_epsilon(epsilon):
    drawn = np.array([voting._laplace(50, epsilon)([7] * 50) for _ in range(60)]) - 7
    q = math.exp(-epsilon / 2)
    assert drawn.mean() == pytest.approx(0, abs=6 * drawn.std() / math.sqrt(drawn.size))
    assert drawn.var() == pytest.approx(2 * q / (1 - q) ** 2, rel=0.2)
    odds = [np.sum(drawn == k + 1) / np.sum(drawn == k) for k in range(2)]
    assert np.log(odds) == pytest.approx([-epsilon / 2] * 2, abs=0.35)


def test_the_winner_is_what_the_groups_prefer(found):
    """One penalty that lets nothing be learned, and one that does: nearly all groups agree, and the noise cannot hide it."""
    tuned = found.quality.tune("churn", "churn", penalty=[1e-6, 1.0], excess_risk=[0.001], private=5.0, delta=1e-5)
    assert tuned.chosen.penalty == 1.0 and all(each.scores is None for each in tuned.tried)
    text = str(tuned)
    assert "5-differentially private" in text and "adds ε = 5" in text and "depends on everybody" not in text
    assert "loss" not in text and "loss" not in tuning_page(tuned).lower() and "<svg" not in tuning_page(tuned)


def test_a_group_votes_for_the_least_loss_on_its_own_people_held_out(found):
    settings = settings_of(found, penalty=[1e-6, 1.0])
    rows, group = groups_of(found)
    theirs = rows.filter(pa.array(group < 8))
    assert voting.vote(theirs, settings) in (1, 3, 5)
    assert voting.vote(theirs.slice(0, 0), settings) is None
    one_class = theirs.filter(pc.equal(theirs["churn"], "yes"))
    assert voting.vote(one_class, settings) is None


def test_whoever_asked_to_be_forgotten_has_no_vote(tmp_path, monkeypatch):
    made = workspace(tmp_path, models=("churn",))
    made.forget([f"person-{i}" for i in range(50)])
    seen: list[pa.Table] = []
    monkeypatch.setattr(voting, "vote", lambda rows, _settings: seen.append(rows))
    made.quality.tune("other", "churn", excess_risk=[0.001], private=1.0)
    assert len(set().union(*(rows[SUBJECT].to_pylist() for rows in seen))) == 200


def test_the_command_makes_a_private_choice(found):
    shown = run("tune", "m", "--target", "churn", "--private", "2", "-w", str(found.storage.path))
    assert shown["epsilon"] == 2.0 and len(shown["votes"]) == 9
    assert all(each["scores"] is None and each["capacity"] is None for each in shown["tried"])
