"""A model and its secret as bytes, to be searched or compared."""

import pickle
import warnings

from expunge.errors import ModelCopyWarning


def pickled(model):
    """``model`` and its secret as bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelCopyWarning)
        return pickle.dumps(model)
