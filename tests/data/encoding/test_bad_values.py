"""Values of which a declaration makes nothing: the error names column, row and rule; so do encoders and collisions."""

import base64
import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from expunge.data.collisions import hashed_in, require_few_collisions
from expunge.data.encoding import Category, Cross, Cyclic, Embedding, HashedCategory, HashedText, MissingIndicator, Number
from expunge.data.encoding.encoders import digest_of, encoder
from expunge.data.schema import FeatureSchema
from expunge.errors import InvalidRows

IDS = ["r0", "r1", "r2"]


@pytest.mark.parametrize(
    ("encoding", "values", "match"),
    [
        (Number(0, 1), [0, 1, "old"], "column 'x': row r2 is not a number: correct the row, or declare the column a category"),
        (MissingIndicator(Number(1, 2, scale="log")), ["1", "٣", "2"], "column 'x': row r1 is not a number"),
        (Cyclic((24,)), [1, "noon", 2], "column 'x': row r1 is not a number"),
        (Cyclic(("week",)), ["2024-01-01", "2024-02-30", None], "column 'x': row r1 is not a date or time: write it as 2024-"),
        (Cyclic(("year",)), pa.array([None, 10**17, 0], pa.timestamp("s")), "row r1 is not a date in the years 1 to 9999"),
        (Cyclic(("day", "year")), ["2024-01-01", "10:15", None], "row r1 is a time of day, which has no place in the year"),
        (Cyclic(("day",)), [None, True, 5], "column 'x': row r1 is not a date or time"),
        (Embedding(3), [[1, 2, 3], None, [1, 2]], "row r2 has an embedding of 2 numbers, not of width = 3 as declared"),
        (Embedding(3), pa.array([[1, 2, 3], None, [1, 2]]), "row r2 has an embedding of 2 numbers, not of width = 3"),
        (Embedding(2), [[1, 2], [float("nan"), 0], None], "row r1 has an embedding with something else"),
        (Embedding(2), pa.array([None, [1.0, None], [1.0, 2.0]]), "row r1 has an embedding with something else"),
        (Embedding(2), [[1, 2], ["a", "b"], None], "row r1 has an embedding with something else"),
        (
            Embedding(2),
            [None, [1e70, 0.0], None],
            "row r1 has an embedding with something else in it than numbers up to 1e[+]60",
        ),
        (Embedding(2), pa.array([None, "a text", None]), "row r1 holds string, and an embedding is a list of numbers"),
    ],
)
def test_a_bad_value_is_named(encoding, values, match):
    with pytest.raises(InvalidRows, match=match):
        FeatureSchema({"x": encoding}).encode({"x": values}, IDS)


class TestEncoders:
    CODE = "def encode(text):\n    return [len(text), text.count('a')]\n"

    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """Installs a package with an encoder; gives what installs it with other code."""

        def install(code: str = self.CODE, points: str = "[expunge.encoders]\ncounts = counting:encode\n") -> str:
            found = tmp_path / "counting-1.0.dist-info"
            found.mkdir(exist_ok=True)
            (tmp_path / "counting.py").write_text(code)
            (found / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
            (found / "entry_points.txt").write_text(points)
            digest = base64.urlsafe_b64encode(hashlib.sha256(code.encode()).digest()).decode().rstrip("=")
            (found / "RECORD").write_text(f"counting.py,sha256={digest},{len(code)}\ncounting-1.0.dist-info/RECORD,,\n")
            encoder.cache_clear()
            sys.modules.pop("counting", None)
            return digest_of("counting")

        monkeypatch.syspath_prepend(str(tmp_path))
        yield install
        encoder.cache_clear()
        sys.modules.pop("counting", None)

    def test_texts_are_encoded_one_by_one_by_the_declared_package(self, package):
        encoding = Embedding(2, max_norm=10.0, package="counting", digest=package())
        found = encoding.encode(["banana", None, "", "banana"])
        assert found.features.tolist() == [[0.6, 0.3], [0, 0], [0, 0], [0.6, 0.3]]
        assert found.missing.tolist() == [False, True, False, False]
        assert np.array_equal(encoding.encode(pa.array(["banana", None, "", "banana"])).features, found.features)

    def test_a_package_with_other_contents_is_refused(self, package):
        declared = package()
        other = package(self.CODE + "# changed\n")
        assert other != declared
        schema = FeatureSchema({"note": Embedding(2, package="counting", digest=declared)})
        with pytest.raises(
            InvalidRows, match=f"column 'note': the package 'counting' has the digest {other}, but the schema decl"
        ):
            schema.encode({"note": ["a"]})

    def test_an_encoder_of_another_width_is_refused(self, package):
        schema = FeatureSchema({"note": Embedding(3, package="counting", digest=package())})
        with pytest.raises(InvalidRows, match="column 'note': row r1 has an embedding of 2 numbers, not of width = 3"):
            schema.encode({"note": [None, "a", "b"]}, IDS)

    def test_a_package_must_offer_its_encoder(self, package):
        digest = package(points="[console_scripts]\ncounts = counting:encode\n")
        with pytest.raises(ValueError, match="0 entry points in the group expunge"):
            encoder("counting", digest)
        folder = Path(find_spec("counting").origin).parent / "counting-1.0.dist-info"
        (folder / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
        with pytest.raises(ValueError, match="the package 'counting' is installed as editable"):
            digest_of("counting")
        with pytest.raises(InvalidRows, match=r"column 'x': the package 'no-such-package', .* is not installed: install it"):
            FeatureSchema({"x": Embedding(1, package="no-such-package", digest="sha256:0")}).encode({"x": ["a"]})


TABLE = {"plane": [f"N{i}" for i in range(40)], "note": [f"word{i} word{i + 1}" for i in range(40)], "sex": ["F", "M"] * 20}
ROWS = [100 + i for i in range(40)]


class TestCollisions:
    def looked_at(self, **columns):
        schema = FeatureSchema({**columns, "sex": Category(("F", "M"))})
        require_few_collisions(hashed_in(schema), [(TABLE, ROWS)])

    @pytest.mark.parametrize("name", ["plane", "note"])
    def test_more_than_the_stated_share_is_refused(self, name):
        kind = {"plane": HashedCategory, "note": HashedText}[name]
        self.looked_at(**{name: kind(1 << 20, max_collisions=0.0)})
        self.looked_at(**{name: kind(16)})
        self.looked_at(**{name: kind(16, max_collisions=1.0)})
        with pytest.raises(
            InvalidRows, match=f"column '{name}': .* of 4[01] different values share one of 16 features"
        ) as caught:
            self.looked_at(**{name: MissingIndicator(kind(16, max_collisions=0.1))})
        said = str(caught.value)
        assert "in row 1" in said and "more than max_collisions = 0.1. Set n_features to about 4" in said

    def test_the_row_that_is_named_is_the_first_that_shares(self):
        column = HashedCategory(64, max_collisions=0.0)
        features = column.encode(TABLE["plane"]).features.indices.tolist()
        first = next(row for row, feature in enumerate(features) if features.count(feature) > 1)
        n_together = sum(features.count(feature) > 1 for feature in features)
        with pytest.raises(InvalidRows, match=f"column 'plane': {n_together} of 40 .*, the first .* in row {100 + first};"):
            self.looked_at(plane=column)

    def test_hashed_crosses_are_looked_at_too(self):
        schema = FeatureSchema(
            {"plane": HashedCategory(1 << 16), "sex": Category(("F", "M"))},
            features={"both": Cross(("plane", "sex"), n_features=16, max_collisions=0.2)},
        )
        with pytest.raises(InvalidRows, match=r"features 'both': .* of 40 different values share one of 16 features"):
            require_few_collisions(hashed_in(schema), [(TABLE, ROWS)])
        values = {"plane": [None], "sex": ["F"]}
        require_few_collisions(hashed_in(schema), [(values, [1])])
