"""A simulator in virtual time: clients, a scheduler and a device, and what each client got.

``scenario`` says what happens, ``simulation`` lets it happen, ``result`` says what came of it.
Everything is computed from the scenario and its seed; the same seed gives the same result.
"""
