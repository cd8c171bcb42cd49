"""Masks: one file is one name in a sheet.

A mask is a frozen dataclass whose fields are its settings. It knows cells, neither tokens nor pixels. It has

    sample      (n, grid, generator) -> bool [n, *grid], True = hidden: at least one cell of each image is hidden and
                one visible, and in all images equally many. A pure function of its arguments: `generator` is a
                `simmim.rng.KeyedGenerator` of n samples, so an image has its mask whatever stands beside it
"""

CONTEXT = ()  # arguments of the constructor that the code passes, not a sheet
