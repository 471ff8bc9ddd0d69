"""Specimen, light and camera behind the devices of a microscope."""
