"""Quality: how large a model will be, how good it is on people it has not seen, why, and which settings serve best.

All of it but the sizes is computed from people's rows and un-noised weights: for the house, never part of what is published.
"""
