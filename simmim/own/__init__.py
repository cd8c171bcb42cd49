"""Own images by one command: each call writes a small project, and makes its one row as the workflow would."""
