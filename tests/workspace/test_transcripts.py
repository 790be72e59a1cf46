"""Transcript statements of a workspace: made, checked offline, and refused where anything is altered."""

import json
import math
import shutil
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from expunge.errors import SignatureInvalid
from expunge.evidence import transcripts
from expunge.evidence.charges import delta_of
from expunge.evidence.signing import PublicKeys, SigningKey, endorse
from expunge.evidence.statements import TRANSCRIPT, canonical, predicate_of
from expunge.evidence.verification import verify_content
from expunge.ledger import log, releases
from expunge.privacy import Guarantee, budget
from expunge.unlearning import readable, unlearner
from expunge.workspace.transcripts import transcript
from tests.field.commands import run
from tests.workspace.people import people, workspace


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A model with two releases before person-3 is forgotten, and after that one, a scheduled refit, and two more."""
    folder = tmp_path_factory.mktemp("story")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = workspace(folder, models=False)
        run("fit", "churn", "--target", "churn", "--delta", "1e-5", "-w", "ws")
        answers = []
        for person in ("person-1", "person-2", "person-3", "person-4"):
            answers += run("forget", person, "-w", "ws")
            run("process", "--now", "-w", "ws")
        later = budget.today() + timedelta(days=31)
        patch.setattr(unlearner, "today", lambda: later)
        patch.setattr(readable, "today", lambda: later)
        run("refit", "churn", "-w", "ws")
        pq.write_table(people(30, 20, seed=5).set_column(0, "who", [[f"new-{i}" for i in range(30)]]), "new.parquet")
        run("append", "new.parquet", "-w", "ws")
        run("forget", "person-5", "-w", "ws")
        run("process", "--now", "-w", "ws")
    return made, answers


def evidence(made) -> list[dict[str, float]]:
    with made.storage.database.reading() as connection:
        return [json.loads(row.evidence) for row in releases.all_releases(connection)]


def test_it_lists_every_release_with_what_it_costs(story, tmp_path):
    made, answers = story
    told = evidence(made)
    assert len(told) == 8 and told[5]["resets_budget"] and not any(each["resets_budget"] for each in told[:5] + told[6:])
    request = answers[2]["request"]
    found = run("transcript", 4, "--request", request, "--out", tmp_path / "t.json", "-w", made.storage.path)
    whys = [each["why"] for each in found["releases"]]
    assert whys == ["deletion", "later", "scheduled refit", "after a scheduled refit", "after a scheduled refit"]
    mus = [told[3]["mu"], told[4]["mu"], *(told[i]["drift_mu"] for i in (5, 6, 7))]
    assert [each["mu"] for each in found["releases"]] == mus
    assert (found["release"], found["exposed_from"], found["exposure_mu"]) == (4, 1, told[3]["exposure_mu"])
    assert 0 < max(mus[2:]) < 1e-3 * mus[0] and found["exposure_mu"] > 10 * mus[0]
    assert found["mu"] == pytest.approx(math.sqrt(told[3]["exposure_mu"] ** 2 + np.sum(np.square(mus))))
    assert delta_of(found["mu"], found["epsilon"]) == pytest.approx(found["delta"], rel=1e-6)
    proven = run("verify", tmp_path / "t.json", "--key", made.storage.path / "expunge.pub")
    shown = {name: proven[name] for name in ("kind", "genuine", "release", "releases", "request", "mu", "epsilon")}
    assert shown == {
        "kind": "transcript",
        "genuine": True,
        "release": 4,
        "releases": 5,
        "request": request,
        **{name: found[name] for name in ("mu", "epsilon")},
    }
    assert not any("person-3" in text for text in (tmp_path / "t.json").read_text().split('"'))


def test_made_again_it_grows_by_what_was_released_since(story):
    made, _answers = story
    first, second = (transcript(made.storage, number)[0] for number in (4, 5))
    assert [each.number for each in first.releases] == [4, 5, 6, 7, 8]
    assert [each.number for each in second.releases] == [5, 6, 7, 8]
    assert first.releases[2:] == second.releases[1:]


def test_what_there_is_no_statement_for(story, capsys):
    made, answers = story
    where = ("-w", made.storage.path)
    assert "forgot no rows" in run("transcript", 1, *where, code=3)["message"]
    assert "no certificate 99" in run("transcript", 99, *where, code=1)["message"]
    wrong = run("transcript", 4, "--request", answers[0]["request"], *where, code=3)
    assert "does not answer" in wrong["message"]


def altered(story, change):
    """A statement that the workspace itself signs, with a change made in what it says."""
    made, _answers = story
    _statement, document = transcript(made.storage, 4)
    content = json.loads(document)
    predicate = dict(predicate_of(content["statement"]))
    change(predicate)
    with made.storage.database.reading() as connection:
        key, keys = made.storage.signing_key(connection), made.storage.public_keys(connection)
    content["statement"] = key.sign(TRANSCRIPT, {"churn/4": predicate["releases"][0]["certificate"]}, predicate)
    return canonical(content), keys


def cheaper(predicate):
    predicate["mu"] *= 0.5


def too_small_an_epsilon(predicate):
    predicate["epsilon"] *= 0.99


def left_out(predicate):
    del predicate["releases"][1]
    predicate["mu"] = math.sqrt(predicate["exposure_mu"] ** 2 + sum(each["mu"] ** 2 for each in predicate["releases"]))


def cut_off(predicate):
    predicate["releases"] = predicate["releases"][:-1]


def another_release(predicate):
    predicate["releases"][0]["certificate"] = "0" * 64


def too_early_a_reset(predicate):
    predicate["releases"][1]["why"] = "scheduled refit"
    predicate["releases"][2]["why"] = "after a scheduled refit"


def later_after_the_reset(predicate):
    predicate["releases"][3]["why"] = "later"


def no_such_reason(predicate):
    predicate["releases"][3]["why"] = "free of charge"


def fewer_before(predicate):
    predicate["exposed_from"] = 3


def below_zero(predicate):
    predicate["exposure_mu"] *= -1.0


def not_a_number(predicate):
    predicate["mu"] = "small"


def another_log(predicate):
    predicate["events"] -= 1


ALTERED = {
    cheaper: "compose to mu",
    too_small_an_epsilon: "too small for mu",
    left_out: "not those of the log",
    cut_off: "not those of the log",
    another_release: "not those of the log",
    too_early_a_reset: "not a refit by the log",
    later_after_the_reset: "charged as 'later'",
    no_such_reason: "for an unknown reason",
    fewer_before: "since the model was fitted",
    below_zero: "below 0",
    not_a_number: "is not a number",
    another_log: "a different state of the log",
}


@pytest.mark.parametrize("change", ALTERED, ids=lambda change: change.__name__)
def test_one_that_does_not_follow_from_the_log_and_its_figures_is_refused(change, story):
    document, keys = altered(story, change)
    with pytest.raises(SignatureInvalid, match=ALTERED[change]):
        verify_content(document, keys)
    untouched, keys = altered(story, lambda predicate: None)
    assert verify_content(untouched, keys).kind == "transcript"


def test_any_byte_that_is_altered_is_noticed(story):
    made, _answers = story
    _statement, document = transcript(made.storage, 4)
    with made.storage.database.reading() as connection:
        keys = made.storage.public_keys(connection)
    raw = document.encode()
    for place in np.random.default_rng(0).integers(len(raw), size=150):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises((SignatureInvalid, UnicodeDecodeError)):
            verify_content(bytes(changed).decode(), keys)


def test_another_key_or_a_revoked_one_vouches_for_nothing(story, tmp_path):
    made, _answers = story
    _statement, document = transcript(made.storage, 4)
    other = PublicKeys.of([(SigningKey.generate().pem, None)])
    with pytest.raises(SignatureInvalid, match="not among the trusted"):
        verify_content(document, other)
    with made.storage.database.reading() as connection:
        key, size = made.storage.signing_key(connection), log.size(connection)
    new = SigningKey.generate()
    for is_revoked in (False, True):
        keys = PublicKeys.of([(key.pem, None), (new.pem, endorse(key, new, size, is_revoked=is_revoked))])
        if is_revoked:
            with pytest.raises(SignatureInvalid, match="was revoked: have it made again"):
                verify_content(document, keys)
        else:
            assert verify_content(document, keys).kind == "transcript"


def test_a_model_that_was_learned_anew_and_a_workspace_that_was_restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace(tmp_path, models=False)
    run("fit", "churn", "--target", "churn", "--delta", "1e-5", "-w", "ws")
    for number, person in enumerate(("person-1", "person-2"), 1):
        run("forget", person, "-w", "ws")
        run("process", "--now", "-w", "ws")
        if number == 1:
            run("replace", "churn", "-w", "ws")
    first, second = (run("transcript", number, "-w", "ws") for number in (2, 4))
    assert [each["why"] for each in first["releases"]] == ["deletion", "later", "later"]
    assert (first["exposed_from"], second["exposed_from"], second["lost_mu"]) == (1, 3, 0.0)
    assert any("was replaced" in each for each in second["caveats"])
    assert not any("was replaced" in each for each in first["caveats"])
    run("backup", "monday", "-w", "ws")
    shutil.move("ws", "lost")
    run("restore", "monday", "-w", "new", "--no-anchor")
    run("forget", "person-3", "-w", "new")
    run("process", "--now", "-w", "new")
    before, after = (run("transcript", n, "-w", "new", "--out", f"{n}.json") for n in (4, 5))
    assert before["lost_mu"] == Guarantee(1.0, 1e-5).mu and before["mu"] > before["lost_mu"]
    assert after["lost_mu"] == 0.0 and any("that a restore gave up" in each for each in after["caveats"])
    for number in (4, 5):
        assert run("verify", f"{number}.json", "--key", "new/expunge.pub")["genuine"]


def test_a_restore_since_then_must_be_charged(story):
    made, _answers = story
    statement, document = transcript(made.storage, 4)
    events = [json.loads(entry) for entry in json.loads(document)["events"]]
    assert statement.lost_mu == 0.0
    transcripts._require_logged(statement, events)
    restored = {"kind": "workspace.restored", "seq": len(events) + 1}
    with pytest.raises(SignatureInvalid, match="was restored since"):
        transcripts._require_logged(statement, [*events, restored])
    transcripts._require_logged(statement, [restored, *events])
