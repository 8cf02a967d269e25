"""The HTML pages in a real browser: `make pages`."""
