"""What every folder uses, and what knows none of them: errors, files, processes, checked YAML, C++ of our own."""
