"""Expunge: convex models that forget people on request, and prove it."""
