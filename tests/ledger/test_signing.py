"""Signatures: what was signed comes back, by another reader too; nothing else does."""

import base64
import json

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement

from expunge.errors import SignatureInvalid, WorkspaceInvalid
from expunge.evidence.heads import signed_head
from expunge.evidence.receipts import Receipt, verify_receipt
from expunge.evidence.signing import PublicKeys, SigningKey, endorse, key_path
from expunge.evidence.statements import CERTIFICATE, CHECKPOINT, RECEIPT


@pytest.fixture
def key(tmp_path):
    return SigningKey.create(tmp_path)


def test_what_was_signed_comes_back(key):
    envelope = key.sign(CERTIFICATE, {"m/1": "a" * 64}, {"epsilon": 1.0})
    statement = PublicKeys.of([(key.pem, None)]).verified(envelope, CERTIFICATE)
    assert statement.predicate == {"epsilon": 1.0}
    assert statement.subject == [{"name": "m/1", "digest": {"sha256": "a" * 64}}]


def test_another_reader_takes_it_for_an_in_toto_statement(key):
    envelope = key.sign(CERTIFICATE, {"m/1": "a" * 64}, {"epsilon": 1.0})
    signed = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    read = Statement.copy_from_pb(ParseDict(signed, Statement([], "", {}).pb))
    read.validate()
    assert read.pb.predicate_type == CERTIFICATE


@pytest.mark.parametrize("change", ["key", "kind", "payload", "signature", "space"])
def test_nothing_else_does(change, key, tmp_path):
    envelope = key.sign(CERTIFICATE, {"m/1": "a" * 64}, {"epsilon": 1.0})
    keys, kind = PublicKeys.of([(key.pem, None)]), CERTIFICATE
    content = json.loads(envelope)
    if change == "key":
        keys = PublicKeys.of([(SigningKey.create(tmp_path).pem, None)])
    elif change == "kind":
        kind = RECEIPT
    elif change == "payload":
        content["payload"] = content["payload"][:-4] + "AAAA"
    elif change == "signature":
        signature = content["signatures"][0]["sig"]
        content["signatures"][0]["sig"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    altered = json.dumps(content, sort_keys=True, separators=(",", ":")) + (" " if change == "space" else "")
    with pytest.raises(SignatureInvalid):
        keys.verified(altered, kind)


def test_private_keys_are_for_their_owner_alone(key, tmp_path):
    assert key_path(tmp_path, key.keyid).stat().st_mode & 0o077 == 0
    assert SigningKey.load(tmp_path, key.keyid).pem == key.pem


def test_a_key_under_another_name_is_refused(key, tmp_path):
    other = SigningKey.create(tmp_path)
    key_path(tmp_path, key.keyid).write_bytes(key_path(tmp_path, other.keyid).read_bytes())
    with pytest.raises(WorkspaceInvalid, match="does not hold the key that the ledger names"):
        SigningKey.load(tmp_path, key.keyid)


def test_public_keys_from_a_file(key, tmp_path):
    other = SigningKey.create(tmp_path)
    path = tmp_path / "expunge.pub"
    path.write_text(str(PublicKeys.of([(key.pem, None), (other.pem, endorse(key, other, 5, is_revoked=False))])))
    assert list(PublicKeys.read(path).pems) == [key.keyid, other.keyid]
    path.write_text(key.pem + other.pem)
    with pytest.raises(WorkspaceInvalid, match="the one before it has not endorsed"):
        PublicKeys.read(path)
    for content, message in (("", "not hold a public key"), ("nonsense", "not hold an Ed25519 public key")):
        path.write_text(content)
        with pytest.raises(WorkspaceInvalid, match=message):
            PublicKeys.read(path)
    with pytest.raises(WorkspaceInvalid, match="there is no public key"):
        PublicKeys.read(tmp_path / "none.pub")


class TestRotation:
    """Whoever trusts the first key trusts those that each in turn has endorsed, and an old one for what it signed in time."""

    def chain(self, key, other, size=5, *, is_revoked=False):
        return PublicKeys.of([(key.pem, None), (other.pem, endorse(key, other, size, is_revoked=is_revoked))])

    def test_an_old_key_counts_up_to_the_head_at_which_it_was_replaced(self, key, tmp_path):
        other = SigningKey.create(tmp_path)
        keys = self.chain(key, other)
        for signer, size, is_valid in ((key, 5, True), (key, 6, False), (other, 6, True), (other, 500, True)):
            envelope = signer.sign(CHECKPOINT, {"log": "0" * 64}, {"size": size, "root": "0" * 64})
            if is_valid:
                assert signed_head(envelope, keys).size == size
            else:
                with pytest.raises(SignatureInvalid, match="was replaced before event 6"):
                    signed_head(envelope, keys)

    def test_a_key_that_nobody_endorsed_is_none(self, key, tmp_path):
        other, foreign = SigningKey.create(tmp_path), SigningKey.create(tmp_path)
        said = endorse(key, other, 5, is_revoked=False)
        for pem, endorsement in (
            (foreign.pem, said),
            (other.pem, None),
            (other.pem, endorse(foreign, other, 5, is_revoked=False)),
            (other.pem, endorse(other, other, 5, is_revoked=False)),
            (key.pem, endorse(key, key, 5, is_revoked=False)),
        ):
            with pytest.raises(SignatureInvalid):
                PublicKeys.of([(key.pem, None), (pem, endorsement)])

    def test_what_a_revoked_key_signed_outside_the_log_is_no_proof(self, key, tmp_path):
        other = SigningKey.create(tmp_path)
        receipt = json.loads(Receipt.issue(key, "00" * 32, "r-1", "ann", {"received": "2026", "ids": "2"}).document)
        assert verify_receipt(receipt, self.chain(key, other), "ann")["request"] == "r-1"
        with pytest.raises(SignatureInvalid, match="was revoked: have it made again with expunge receipt"):
            verify_receipt(receipt, self.chain(key, other, is_revoked=True), "ann")
        again = json.loads(Receipt.issue(other, "00" * 32, "r-1", "ann", {"received": "2026", "ids": "2"}).document)
        assert verify_receipt(again, self.chain(key, other, is_revoked=True), "ann")["request"] == "r-1"

    def test_what_is_read_is_what_was_written(self, key, tmp_path):
        second, third = SigningKey.create(tmp_path), SigningKey.create(tmp_path)
        keys = PublicKeys.of(
            [
                (key.pem, None),
                (second.pem, endorse(key, second, 5, is_revoked=True)),
                (third.pem, endorse(second, third, 9, is_revoked=False)),
            ]
        )
        (tmp_path / "expunge.pub").write_text(str(keys))
        assert PublicKeys.read(tmp_path / "expunge.pub") == keys
        assert keys.until == {key.keyid: 5, second.keyid: 9} and keys.revoked == {key.keyid}
