"""One file for each table of our own, importable without pandas; `_paper.py` makes those of the paper."""
