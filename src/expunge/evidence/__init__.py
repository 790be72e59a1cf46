"""Evidence: what is signed, by which keys, and how anybody checks it offline; it needs only a crypto library."""
