"""The verifier: a file is byte for byte what was written, or it is refused, and nothing else ever happens.

Genuine files of every kind, from a workspace that has lived, are changed at random: members dropped, doubled, retyped
and nested, bytes flipped, ends cut off, signatures added. Whatever comes out is refused, unless it is a genuine file again.
"""

import base64
import copy
import json
import random
from typing import Any

import pytest

from expunge.errors import NotShown, SignatureInvalid
from expunge.evidence.heads import Head
from expunge.evidence.proofs import root_of
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.evidence.statements import CERTIFICATE, CHECKPOINT, RECEIPT, canonical, parsed
from expunge.evidence.verification import verify_content, verify_continues, verify_file
from expunge.ledger import log, releases
from expunge.ledger.bindings import covering
from tests.conftest import examples
from tests.workspace.people import workspace

DEEP = 100_000
KINDS = ("certificate", "covering certificate", "receipt", "log", "checkpoint", "checkpoint since", "bare checkpoint")


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A workspace in which two people were forgotten."""
    found = workspace(tmp_path_factory.mktemp("evidence"), models=("churn",))
    asked = found.forget(["person-1", "person-2"])
    found.process()
    return found, asked


@pytest.fixture(scope="module")
def genuine(lived):
    """A file of every kind."""
    found, asked = lived
    with found.storage.database.reading() as connection:
        last = releases.current(connection, "churn")
        earlier = Head(3, root_of([canonical(entry.content) for entry in log.entries(connection, 0, 3)]))
        files = (
            log.bundle(connection, last.envelope, last.event),
            log.bundle(connection, last.envelope, last.event, covering(connection, last, asked[0].request)),
            asked[0].receipt,
            log.export(connection),
            log.checkpoint_file(connection),
            log.checkpoint_file(connection, earlier),
            log.checkpoint(connection),
        )
    return dict(zip(KINDS, files, strict=True))


@pytest.fixture(scope="module")
def keys(lived):
    with lived[0].storage.database.reading() as connection:
        return lived[0].storage.public_keys(connection)


@pytest.fixture(scope="module")
def signing_key(lived):
    with lived[0].storage.database.reading() as connection:
        return lived[0].storage.signing_key(connection)


def refused(text: str, keys: PublicKeys) -> None:
    with pytest.raises(SignatureInvalid) as error:
        verify_content(text, keys)
    assert type(error.value) is SignatureInvalid and str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_genuine_files_are_taken(kind, genuine, keys):
    assert verify_content(genuine[kind], keys).kind in kind


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_changed_is_refused(kind, genuine, keys):
    """The seed is fixed, and `make soak` goes twenty times as far."""
    rng, text = random.Random(kind), genuine[kind]
    for _ in range(examples(300)):
        changed = mutated(rng, json.loads(text)) if rng.random() < 0.6 else scratched(rng, text)
        if changed not in genuine.values():  # without its proof, a certificate is still one
            refused(changed, keys)


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_is_needed_in_its_type(kind, genuine, keys):
    """Not at random: every place in the file, the strings that hold JSON included, times every other value."""
    content = json.loads(genuine[kind])
    places = [place for place in walked(content) if place]
    for place in places if len(places) < 200 else random.Random(0).sample(places, 200):
        for value in OTHERS:
            changed = canonical(with_value(content, place, value))
            if changed != genuine[kind]:  # a 0 was there
                refused(changed, keys)


def test_numbers_that_are_equal_but_written_otherwise_are_refused(genuine, keys):
    text = genuine["covering certificate"]
    for old, new in (
        ('"rule":[0,', '"rule":[false,'),
        ('"rule":[1,', '"rule":[true,'),
        ('"rule":[0,', '"rule":[0.0,'),
        ('"security":true', '"security":1'),
        ('"size":64', '"size":64.0'),
        ('"size":64', '"size":33'),
        ('"algorithm":"sha256"', '"algorithm":"SHA256"'),
    ):
        if old in text:
            refused(text.replace(old, new), keys)
            refused(text.replace(old, new, 1), keys)


NONE_OF_THEM = [
    *("", " ", "null", "[]", "{}", "0", '"certificate"', "NaN", "{" * DEEP, "[" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP),
    *("9" * 10_000, '{"expunge":"log","expunge":"log"}', '{"expunge":NaN}', '{"expunge":1e999}', '{"expunge":["log"]}'),
    *('{"expunge":{}}', '{"expunge":"certificate"}', '{"payload":1}', '{"payload":"","payloadType":"","signatures":[]}'),
    *("\ud800", '{"expunge":"\ud800"}', "\ufeff{}", "\0"),
]


@pytest.mark.parametrize("text", NONE_OF_THEM, ids=lambda text: ascii(text[:20]))
def test_what_is_none_of_the_files(text, keys):
    refused(text, keys)


@pytest.mark.parametrize("kind", KINDS)
def test_deep_and_huge_values_in_genuine_files(kind, genuine, keys):
    text = genuine[kind]
    for inside in ("[" * DEEP + "]" * DEEP, "9" * 5000, "-0", "1e999", "NaN", '"' + "a" * 1_000_000 + '"'):
        refused(text[:-1] + f',"z":{inside}' + "}", keys)
        refused('{"a":' + inside + "," + text[1:], keys)
    name, value = next((name, value) for name, value in json.loads(text).items() if isinstance(value, str))
    quoted = canonical({name: value})[1:-1]
    for inside in ("[" * DEEP, "[" * DEEP + "]" * DEEP, "9" * 5000, "{}", ""):
        refused(text.replace(quoted, canonical({name: inside})[1:-1]), keys)
    refused(text[:-1] + f",{quoted}" + "}", keys)  # a member twice


class TestSignatures:
    def test_exactly_one(self, genuine, keys, signing_key, tmp_path):
        one = json.loads(genuine["bare checkpoint"])
        other = SigningKey.create(tmp_path)
        payload = json.loads(base64.b64decode(one["payload"]))
        again = json.loads(other.sign(CHECKPOINT, {"log": payload["subject"][0]["digest"]["sha256"]}, payload["predicate"]))
        assert again["payload"] == one["payload"]
        both = PublicKeys({key.keyid: key.pem for key in (signing_key, other)})
        for envelope in (one, again):
            assert both.verified(canonical(envelope), CHECKPOINT).predicate == payload["predicate"]
        signatures: list[dict[str, str]]
        for signatures in (
            one["signatures"] + again["signatures"],
            again["signatures"] + one["signatures"],
            one["signatures"] * 2,
            one["signatures"] + [{"keyid": "0" * 64, "sig": one["signatures"][0]["sig"]}],
            [],
        ):
            with pytest.raises(SignatureInvalid, match="exactly one signature"):
                both.verified(canonical({**one, "signatures": signatures}), CHECKPOINT)

    def test_by_a_foreign_key(self, genuine, tmp_path):
        for text in genuine.values():
            refused(text, PublicKeys.of([(SigningKey.create(tmp_path).pem, None)]))

    def test_of_another_kind(self, genuine, keys, signing_key):
        bundle = json.loads(genuine["certificate"])
        refused(canonical({"expunge": "receipt", "envelope": bundle["certificate"]}), keys)
        refused(canonical({**bundle, "certificate": bundle["checkpoint"]}), keys)
        refused(canonical({**bundle, "checkpoint": bundle["certificate"]}), keys)
        refused(bundle["certificate"], keys)

    @pytest.mark.parametrize("kind", [CERTIFICATE, RECEIPT, CHECKPOINT])
    def test_of_something_that_was_never_meant(self, kind, genuine, keys, signing_key):
        """Even what the workspace's own key has signed must say what is read from it."""
        bundle = json.loads(genuine["certificate"])
        deep: Any = []
        for _ in range(200):
            deep = [deep]
        for predicate in (
            {},
            {"size": 0, "root": ""},
            {"size": True, "root": "0" * 64},
            {"request": 1, "a": deep},
            {"size": "1"},
        ):
            envelope = signing_key.sign(kind, {"x": "0" * 64}, predicate)
            for text in (
                envelope,
                canonical({"expunge": "receipt", "envelope": envelope}),
                canonical({"expunge": "checkpoint", "checkpoint": envelope}),
                canonical({**bundle, "certificate": envelope}),
                canonical({**bundle, "checkpoint": envelope}),
                canonical({"expunge": "log", "events": [], "checkpoint": envelope}),
            ):
                refused(text, keys)


def test_a_line_end_is_not_what_was_written(genuine, keys):
    for text in genuine.values():
        for changed in (text + "\n", "\n" + text, text + " ", "\ufeff" + text, text.replace(",", ", ", 1)):
            refused(changed, keys)


def test_files_that_are_no_text_or_no_files(genuine, keys, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" + genuine["receipt"].encode("utf-16-le"))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "line ends").write_bytes(genuine["log"].encode() + b"\r\n")
    (tmp_path / "folder").mkdir()
    for name in ("bytes", "empty", "line ends", "folder"):
        with pytest.raises(SignatureInvalid):
            verify_file(tmp_path / name, keys)
        (tmp_path / "good").write_text(genuine["bare checkpoint"])
        for pair in ((tmp_path / name, tmp_path / "good"), (tmp_path / "good", tmp_path / name)):
            with pytest.raises(SignatureInvalid, match=name):
                verify_continues(*pair, keys)
    with pytest.raises(FileNotFoundError):
        verify_file(tmp_path / "none", keys)


def test_what_a_genuine_file_does_not_show(genuine, keys):
    for kind in ("certificate", "log", "checkpoint"):
        with pytest.raises(NotShown, match="names nobody"):
            verify_content(genuine[kind], keys, subject="person-1")
    for kind in ("receipt", "log", "checkpoint"):
        with pytest.raises(NotShown, match="belongs to no release"):
            verify_content(genuine[kind], keys, receipt=genuine["receipt"])
    with pytest.raises(NotShown, match="not for this subject"):
        verify_content(genuine["receipt"], keys, subject="person-2")
    for receipt in ("", genuine["log"], genuine["receipt"][:-1], genuine["receipt"] + "\n"):
        with pytest.raises(NotShown, match="the certificate is genuine, but the receipt is not"):
            verify_content(genuine["covering certificate"], keys, receipt=receipt)


# what is done to the files

OTHERS: list[Any] = [None, True, 0, -1, 2**70, 0.5, "", "x", "0" * 64, [], [[]], [0], {}, {"size": 1}, {"a": {"a": {}}}]


def walked(value: Any, place: tuple[Any, ...] = ()):
    """Every place in a value, and in the JSON that its strings hold."""
    yield place
    inner = read(value)
    if isinstance(inner, dict):
        for name in inner:
            yield from walked(inner[name], (*place, name))
    elif isinstance(inner, list):
        for i in range(len(inner)):
            yield from walked(inner[i], (*place, i))


def read(value: Any) -> Any:
    """What is in a string that holds JSON, or JSON in base64."""
    if isinstance(value, str) and value[:1] == "{":
        return json.loads(value)
    if isinstance(value, str) and value[:3] == "eyJ":
        return json.loads(base64.b64decode(value))
    return value


def with_value(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """``value`` with another at ``place``; strings that hold JSON are written as they were."""
    if not place:
        return new
    inner = copy.copy(read(value))
    inner[place[0]] = with_value(inner[place[0]], place[1:], new)
    return written(value, inner)


def written(value: Any, inner: Any) -> Any:
    """``inner`` in the form that ``value`` has."""
    if isinstance(value, str):
        text = canonical(inner)
        return text if value[:1] == "{" else base64.b64encode(text.encode()).decode()
    return inner


def mutated(rng: random.Random, content: Any) -> str:
    """The file with something of its structure changed."""
    place = rng.choice(list(walked(content)))
    return canonical(_changed(rng, content, place))


def _changed(rng: random.Random, value: Any, place: tuple[Any, ...]) -> Any:
    if place:
        inner = copy.copy(read(value))
        inner[place[0]] = _changed(rng, inner[place[0]], place[1:])
        return written(value, inner)
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(OTHERS)
    if kind == 1:
        return [value] if rng.random() < 0.5 else {"a": value}
    if isinstance(value, dict) and value:
        name = rng.choice(sorted(value))
        if kind == 2:
            return {other: item for other, item in value.items() if other != name}
        return {**value, rng.choice(["z", name + "2", rng.choice(sorted(value))]): value[name]}
    if isinstance(value, list) and value:
        at, other = rng.randrange(len(value)), rng.randrange(len(value))
        if kind == 2:
            return value[:at] + value[at + 1 :]
        return [*value[:at], value[other], *value[at + (kind == 3) :]]
    if isinstance(value, str):
        return value[: rng.randrange(len(value) + 1)] if kind == 2 else value + rng.choice(["=", "0", value])
    return str(value) if kind == 2 else rng.choice([1, 0, -1, 64, 1.0, True, False])


def scratched(rng: random.Random, text: str) -> str:
    """The file with bytes flipped, cut off, repeated or put elsewhere."""
    payload = bytearray(text.encode())
    at, other = rng.randrange(len(payload)), rng.randrange(len(payload))
    kind = rng.randrange(5)
    if kind == 0:
        payload[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del payload[at:]
    elif kind == 2:
        del payload[at]
    elif kind == 3:
        payload[at:at] = payload[other : other + rng.randrange(1, 40)]
    else:
        payload[at], payload[other] = payload[other], payload[at]
    return payload.decode(errors="replace")


def test_the_form_is_one():
    assert parsed('{"a":[1,1.5,"é"]}') == {"a": [1, 1.5, "é"]}
    for text in ('{"a":1,"a":1}', '{"b":1,"a":1}', "[1 ]", "1.50", '"\\u00e9"', "Infinity", "-0", "1E2"):
        with pytest.raises(SignatureInvalid):
            parsed(text)
