"""`make paper`: every table and figure of the paper from our tickets, a file each."""

FIGURES = (
    "figure_1",
    "figure_4",
    "table_1",
    "table_2",
    "figure_6",
    "figure_7a",
    "figure_7b",
    "table_3",
    "figure_8",
    "figure_9",
)
"""Modules of this folder, in the order of the report; section(pairs) makes each one's part."""
