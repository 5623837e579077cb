"""Figures out of papers: cut out, captioned, split into panels, sorted, decided by eye, written as a dataset."""
