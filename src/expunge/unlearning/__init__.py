"""Learning, forgetting and releasing: the bounds, the ladder of rungs, the unlearner and its state."""
