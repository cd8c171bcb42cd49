"""What is on disk: whole files, encoder files, records and the paths of every result."""
