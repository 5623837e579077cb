"""ct-harness: a benchmark and evaluation harness for CT image classification."""

__version__ = "0.1.0"
__all__ = ["__version__"]
