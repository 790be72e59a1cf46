"""Sums over rows with bounds on their rounding, factors of Hessians, and the solver."""
