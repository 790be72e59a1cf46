"""Evidence: what is signed, by which keys, and how anybody checks it offline; a crypto library is all that it needs."""
