"""Signatures: what was signed comes back, by another reader too; nothing else does."""

import json

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement

from expunge.errors import SignatureInvalid, WorkspaceInvalid
from expunge.ledger.signing import CERTIFICATE, RECEIPT, PublicKeys, SigningKey, key_path


@pytest.fixture
def key(tmp_path):
    return SigningKey.create(tmp_path)


def test_what_was_signed_comes_back(key):
    envelope = key.sign(CERTIFICATE, {"m/1": "a" * 64}, {"epsilon": 1.0})
    statement = PublicKeys.of([key.pem]).verified(envelope, CERTIFICATE)
    assert statement["predicate"] == {"epsilon": 1.0}
    assert statement["subject"] == [{"name": "m/1", "digest": {"sha256": "a" * 64}}]


def test_another_reader_takes_it_for_an_in_toto_statement(key):
    envelope = key.sign(CERTIFICATE, {"m/1": "a" * 64}, {"epsilon": 1.0})
    statement = PublicKeys.of([key.pem]).verified(envelope, CERTIFICATE)
    read = Statement.copy_from_pb(ParseDict(statement, Statement([], "", {}).pb))
    read.validate()
    assert read.pb.predicate_type == CERTIFICATE


@pytest.mark.parametrize("change", ["key", "kind", "payload", "signature", "space"])
def test_nothing_else_does(change, key, tmp_path):
    envelope = key.sign(CERTIFICATE, {"m/1": "a" * 64}, {"epsilon": 1.0})
    keys, kind = PublicKeys.of([key.pem]), CERTIFICATE
    content = json.loads(envelope)
    if change == "key":
        keys = PublicKeys.of([SigningKey.create(tmp_path).pem])
    elif change == "kind":
        kind = RECEIPT
    elif change == "payload":
        content["payload"] = content["payload"][:-4] + "AAAA"
    elif change == "signature":
        content["signatures"][0]["sig"] = "A" + content["signatures"][0]["sig"][1:]
    altered = json.dumps(content, sort_keys=True, separators=(",", ":")) + (" " if change == "space" else "")
    with pytest.raises(SignatureInvalid):
        keys.verified(altered, kind)


def test_private_keys_are_for_their_owner_alone(key, tmp_path):
    assert key_path(tmp_path, key.keyid).stat().st_mode & 0o077 == 0
    assert SigningKey.load(tmp_path, key.keyid).pem == key.pem


def test_a_key_under_another_name_is_refused(key, tmp_path):
    other = SigningKey.create(tmp_path)
    key_path(tmp_path, key.keyid).write_bytes(key_path(tmp_path, other.keyid).read_bytes())
    with pytest.raises(WorkspaceInvalid, match="another key than the ledger names"):
        SigningKey.load(tmp_path, key.keyid)


def test_public_keys_from_a_file(key, tmp_path):
    other = SigningKey.create(tmp_path)
    path = tmp_path / "expunge.pub"
    path.write_text(str(PublicKeys.of([key.pem, other.pem])))
    assert set(PublicKeys.read(path).pems) == {key.keyid, other.keyid}
    for content, message in (("", "no public key"), ("nonsense", "no Ed25519 public key")):
        path.write_text(content)
        with pytest.raises(WorkspaceInvalid, match=message):
            PublicKeys.read(path)
    with pytest.raises(WorkspaceInvalid, match="there is no public key"):
        PublicKeys.read(tmp_path / "none.pub")
