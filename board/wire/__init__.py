"""What goes over the wire: the message table, its layout and the packets."""
