"""Models of devices in virtual time, a file for each family, and a table of presets. Pure."""
