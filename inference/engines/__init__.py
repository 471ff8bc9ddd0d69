"""The engines, one backend a file; ``inference.select`` chooses between them."""
