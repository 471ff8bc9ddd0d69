"""Models beside each other and beside the truth: worlds, images, checks, promotion."""
