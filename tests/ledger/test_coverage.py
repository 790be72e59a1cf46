"""Coverage: what a certificate's root shows of a request, and that it shows nothing of how many others there are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from expunge.errors import SignatureInvalid
from expunge.evidence.coverage import LEAST, Coverage, verify_covered
from expunge.evidence.proofs import Leaves, root_of
from expunge.evidence.statements import digest
from expunge.ledger.bindings import table_commitment
from tests.conftest import examples

SALT = "5a" * 32


def requests(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Ids and commitments."""
    return [(f"r-{i:020x}", digest(f"{seed} {i}")) for i in range(count)]


@given(st.integers(0, 300), st.data())
@settings(max_examples=examples(60))
def test_every_request_is_shown_and_no_other(count, data):
    answered = requests(count)
    made = Coverage.of(SALT, answered)
    for request, commitment in answered[:: max(1, count // 5)]:
        covers = vars(made.proof(request, commitment))
        assert verify_covered(covers, made.root) == request
        assert made.proof(request, "0" * 64) is None
        other = data.draw(st.sampled_from(answered))
        for changed in ({"request": "r-0"}, {"commitment": "0" * 64}, {"request": other[0], "commitment": other[1]}):
            if {**covers, **changed} != covers:
                with pytest.raises(SignatureInvalid):
                    verify_covered({**covers, **changed}, made.root)
    assert made.proof("r-0", "0" * 64) is None


def test_the_order_of_the_requests_does_not_matter():
    answered = requests(70)
    assert Coverage.of(SALT, answered).root == Coverage.of(SALT, answered[::-1]).root


@pytest.mark.parametrize(("count", "size"), [(0, 64), (1, 64), (63, 64), (64, 64), (65, 128), (129, 256)])
def test_it_is_filled_up(count, size):
    answered = requests(count)
    leaves = Coverage.of(SALT, answered).leaves
    assert len(leaves) == len(set(leaves)) == size >= LEAST
    assert list(leaves) == sorted(leaves) and {len(leaf) for leaf in leaves} == {64}


def test_without_the_salt_the_root_cannot_be_made():
    answered = requests(3)
    assert Coverage.of(SALT, answered).root != Coverage.of("5b" * 32, answered).root
    assert Coverage.of(SALT, answered).root == Coverage.of(SALT, answered).root
    assert Coverage.of(SALT, []).root != Coverage.of("5b" * 32, []).root
    assert SALT not in repr(Coverage.of(SALT, answered)) and answered[0][1] not in repr(Coverage.of(SALT, answered))
    assert table_commitment(SALT, "0" * 64) != table_commitment("5b" * 32, "0" * 64)


def test_the_place_tells_nothing_of_a_request():
    """The first of 21 requests is as often in each eighth of the tree: chi-squared, 7 degrees of freedom, p = 1e-6."""
    places = [0] * 8
    for i in range(800):
        answered = requests(21, i)
        covers = vars(Coverage.of(digest(f"salt {i}"), answered).proof(*answered[0]))
        places[(covers["proof"]["metadata"]["index"] - 1) // 8] += 1
    assert sum((count - 100) ** 2 / 100 for count in places) < 40.5


def test_another_size_of_the_same_path_is_refused():
    """Of 33 to 64 leaves, the first has a path of the same shape: only the size that was made is taken."""
    made = (vars(Coverage.of(SALT, [asked]).proof(*asked)) for asked in requests(2000))
    covers = next(covers for covers in made if covers["proof"]["metadata"]["index"] == 1)
    root = Coverage.of(SALT, [(covers["request"], covers["commitment"])]).root
    assert verify_covered(covers, root)
    covers["proof"]["metadata"]["size"] = 48
    with pytest.raises(SignatureInvalid):
        verify_covered(covers, root)


def test_leaves_are_those_of_pymerkle():
    entries = [digest(str(i)) for i in range(100)]
    tree = InmemoryTree()
    for entry in entries:
        tree.append_entry(entry.encode())
    for size in (1, 2, 3, 64, 99, 100):
        assert root_of(entries, size) == tree.get_root(size).hex()
    assert Leaves(entries).prove_inclusion(5).serialize() == tree.prove_inclusion(5).serialize()
