"""A phantom: chest CT slices of patients who never lived, with and without COVID-19, made on first use.

It runs where no data can be had, and what the tests use. `docs/phantom.md` says what is drawn and how
difficult it is. Nothing but the lesions differs between the classes, and every machine computes the
same pixels.
"""

from harness.data.phantom.adapter import PhantomAdapter
from harness.data.phantom.lists import write_dataset, write_lists
from harness.data.phantom.patients import CLASSES, SEED, SLICES, Patient, patients
from harness.data.phantom.slices import Slice, render

__all__ = [
    "CLASSES",
    "SEED",
    "SLICES",
    "Patient",
    "PhantomAdapter",
    "Slice",
    "patients",
    "render",
    "write_dataset",
    "write_lists",
]
