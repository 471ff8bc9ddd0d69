"""From a phase map to the counts of a camera."""
