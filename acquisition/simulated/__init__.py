"""The embedded simulated microscope: living specimen, optics, camera and truth."""
