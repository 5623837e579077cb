"""From papers to a dataset: many PDFs read, their pictures decided on by eye, a dataset written with its card."""
