"""Scikit-learn pipelines from raw columns to a model that forgets: nothing in them is fitted but the model. Theory §5.4."""

from expunge.pipeline.encoder import SchemaEncoder
from expunge.pipeline.pipeline import Pipeline

__all__ = ["Pipeline", "SchemaEncoder"]
