"""The border between the control plane (Python) and the data plane (Rust).

`api` says what a data plane is, `native` is the one that serves, `fake` keeps books for tests.
Nothing else imports the extension module `fairlead._dataplane`.
"""
