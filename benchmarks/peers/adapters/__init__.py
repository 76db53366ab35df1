"""What runs inside a peer's own environment: one module each, which knows nothing of the rest of the project."""
