"""The authors' published weights: reading them without trust, and converting them to encoder files and back."""
