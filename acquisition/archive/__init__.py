"""The archive: one directory per run, safe against crashes, read with plain h5py.

``directory`` names and locks a run, ``writer`` fills it, ``reader`` gives the records
back, ``repair`` mends a run whose writer was killed. Nothing is imported here, so that
the light processes can make a directory without loading HDF5.
"""
