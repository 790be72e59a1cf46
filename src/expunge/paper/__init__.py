"""The published algorithms, capacity and sample complexity, the mean, and the reproduction of the paper's claims."""
