"""Declared encodings: how the values of columns become features, one row at a time, with nothing fitted. Theory §5.4."""

from expunge.data.encoding.block import Block, Combination, Combined, Encoding
from expunge.data.encoding.category import Category, OrderedCategory
from expunge.data.encoding.cross import Cross
from expunge.data.encoding.cyclic import Cyclic
from expunge.data.encoding.embedding import Embedding
from expunge.data.encoding.fourier import RandomFourier
from expunge.data.encoding.hashed import HashedCategory, HashedText
from expunge.data.encoding.indicator import MissingIndicator
from expunge.data.encoding.number import Number

__all__ = [
    "Block",
    "Category",
    "Combination",
    "Combined",
    "Cross",
    "Cyclic",
    "Embedding",
    "Encoding",
    "HashedCategory",
    "HashedText",
    "MissingIndicator",
    "Number",
    "OrderedCategory",
    "RandomFourier",
]
