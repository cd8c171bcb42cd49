"""End-to-end fine-tuning (section 4.1)."""
