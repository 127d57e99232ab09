"""SCSI as a pure layer: command table, sense, identity and the pages a logical unit answers with.

Nothing here does I/O, reads a clock or makes a random number. The pages are rendered to bytes once
and served by the data plane by lookup; the rare commands that need computing come back through
`fairlead.scsi.pages.upcall`.
"""
