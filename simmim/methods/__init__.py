"""Methods that Table 6 compares SimMIM with; a file's name is the method's name in a sheet."""

CONTEXT = (
    "encoder",
    "head",
    "target",
    "loss",
    "geometry",
    "target_cell",
    "loss_area",
    "image_px",
    "mean",
    "std",
)  # arguments of the constructor that the code passes, not a sheet
