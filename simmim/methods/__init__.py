"""Methods that Table 6 compares SimMIM with; a file's name is the method's name in a sheet."""
