"""From sheets and recipes to one complete config per job. Nothing here imports torch."""
