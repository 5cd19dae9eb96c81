"""``graphc demo``: two models trained on real data."""
