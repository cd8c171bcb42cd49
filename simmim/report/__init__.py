"""Tables, figures and the report page, made from result files alone (torch-free)."""
