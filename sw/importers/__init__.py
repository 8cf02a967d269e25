"""Networks of other people: NIR files and PyTorch modules become tickets; docs/import.md."""
