"""One file for each figure, importable without a plotting library; files that begin with '_' draw for several."""
