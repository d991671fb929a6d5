"""The six checks of a candidate. Each reads the index through the code that search uses."""
