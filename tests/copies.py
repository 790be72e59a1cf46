"""Copies of models for experiments: they release, and nobody publishes what they release."""

import copy
import pickle
import warnings

from expunge.errors import ModelCopyWarning


def taken_over(model):
    """A copy of ``model``, an estimator or an unlearner, that may release."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelCopyWarning)
        twin = copy.deepcopy(model)
    twin.take_over()
    return twin


def pickled(model):
    """``model`` and its secret as bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelCopyWarning)
        return pickle.dumps(model)
