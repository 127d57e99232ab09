"""iSCSI: the codec of every PDU, text negotiation, login and discovery. Spec: RFC 7143.

``pdu`` is the module to import PDU types, framing and the reader from.
"""
