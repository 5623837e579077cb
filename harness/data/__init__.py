"""Datasets: cards, adapters, pixels."""
