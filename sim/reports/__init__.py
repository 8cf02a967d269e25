"""What people read: tables, plots, HTML pages, and the report of a run."""
