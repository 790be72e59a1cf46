"""Origins of a schema: declared, drafted from the rows, or proposed privately; and the lines that say so in its file."""

import math
from dataclasses import dataclass

DECLARED = """\
# How rows become features. Ranges and categories should come from what you know about the world, not from the data,
# because anything taken from the data remembers the people in it. Columns not listed are ignored.
"""
DRAFTED = """\
# How rows become features, drafted from the data. Check every line before you fit a model: ranges and categories should
# come from what you know about the world, because anything taken from the data remembers the people in it.
# Columns not listed are ignored. All of this goes into every model that is fitted with it, and into its exports.
#
# What was taken, and by which rule (people are counted, not rows):
#   values         those that at least ten people have;
#   low, high      the farthest that at least ten people reach, each by their own extreme in two digits;
#   knots          numbers that at least ten people have in two digits (or in one): those of a 40th of the people, and nine
#                  quantiles of the others;
#   scale          log where all is positive and high at least 100 times low; signed_log from -1,000 or to 1,000 on;
#   add_indicator  where the value of at least ten people and a 100th of them is missing;
#   features       crosses of two columns, whole numbers with few values first, then the smallest; as many as the number of
#                  rows allows: one feature for 125 rows, 1,000 at most;
#   left out       columns in which fewer than ten people share anything, and mostly unique texts.
# The rule hides single people from readers; anybody who knows all other rows can still test whether somebody is the tenth.
# expunge schema propose --private takes the same with differential privacy instead.
#
# While this says "draft = true", everything here counts as taken from the data. When somebody is forgotten, anything that
# fewer than ten people then share is taken out, or reported if you have edited the file. Delete the line once all of it is
# what you know.
"""
PRIVATE = """\
# How rows become features, proposed from the data with differential privacy. Columns not listed are ignored.
#
# What was taken from the rows (values, ranges, knots, which values are often missing, and by their numbers scales and
# crosses) was counted with noise, one row a person: whoever reads all of it learns at most (epsilon, delta) below about any
# one person, however many rows they have, and k times epsilon about k people together. Names and types of columns are taken as
# public. Models fitted with it say these figures in their certificates. You may correct the file from what you know; what
# you correct by looking at the rows is not covered. Another proposal from the same rows adds its own epsilon and delta.
"""

LEAST = 1e-6
"""The least ε of a private proposal: with less, nothing would be left of any table that exists."""
DELTA = 1e-6
"""δ of every private proposal."""


@dataclass(frozen=True)
class SchemaPrivacy:
    """What a private proposal tells about any one person.

    Args:
        epsilon: ε, in nats.
        delta: δ of it, a probability. Default: 1e-6.

    Raises:
        ValueError: ε is not positive and finite, or too small to propose anything, or δ is not between 0 and 1.

    Examples:
        >>> SchemaPrivacy(epsilon=1.0).delta
        1e-06

    Source: theory §5.9.
    """

    epsilon: float
    delta: float = DELTA

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} of a private schema must be a number, got {value!r}")
            object.__setattr__(self, name, float(value))
        if not LEAST <= self.epsilon < math.inf:
            raise ValueError(
                f"epsilon of a private schema must be positive, at least {LEAST:g}, and finite, got {self.epsilon:g}"
            )
        if not 0.0 < self.delta < 1.0:
            raise ValueError(f"delta of a private schema must be between 0 and 1, got {self.delta:g}")
