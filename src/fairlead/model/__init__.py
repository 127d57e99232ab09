"""The nouns of the configuration: frozen, checked once, free of I/O.

`volume` and `config` hold the models, `size` and `portal` the texts they are written in,
`source_lines` finds a field's line in the TOML text so that a mistake can be shown where it is.
"""
