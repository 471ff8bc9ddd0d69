"""Training networks on fields of the simulated microscope, and writing models.

``train(recipe_path, output_dir, resume)`` in ``calibration.training.train`` does it.
"""
