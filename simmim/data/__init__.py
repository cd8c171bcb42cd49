"""Images from any source to checked Parquet shards, and back."""
