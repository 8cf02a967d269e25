"""A ticket on the array: models, the RTL in simulation, reports, and the `uticket` command; a folder a chapter."""
