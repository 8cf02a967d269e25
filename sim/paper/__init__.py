"""`make paper`: every table and figure of the paper from our tickets, and rivals on the same masks."""
