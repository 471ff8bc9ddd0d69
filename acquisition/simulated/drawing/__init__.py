"""From the state of a cell to maps of phase, cells and nuclei."""
