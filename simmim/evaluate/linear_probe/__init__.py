"""Linear probe of every block (section 4.2)."""
