"""Interpretability metrics: exact, with error bars and baselines, from passes that all of them share."""
