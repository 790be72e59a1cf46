"""What is minimised: rows, losses and the objective they make."""
