"""How Linux 2.6.27 keeps an io_context alive and lets it die, as a model that can be executed.

One module for each file of the kernel, one function for each function; the docstring names it. A
function runs from its beginning to its end, except at the places that `Kernel.window` names: there
another CPU may do something. What would have been an oops is an exception (`faults`).
"""
