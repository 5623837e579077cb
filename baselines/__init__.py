"""First-party models, registered through the same entry points as anybody's plugin."""
