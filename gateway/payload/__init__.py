"""What a message's payload means: JSON or plain text to a scan. Pure, and shared by the drivers whose protocol only
carries bytes: the protocol says where a payload came from, this room what stands in it."""
