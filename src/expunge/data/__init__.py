"""Data: schemas that encode rows without looking at other rows, and the bundled census table."""
