"""The embedded simulated microscope: a living specimen, its optics, camera and truth."""
