"""Everything between the microscope and the other processes.

Records and their messages, streams, the clock, the strict engine with its scheduler,
the simulated microscope, recorded sequences as a camera, and the run directory.
"""
