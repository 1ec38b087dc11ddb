"""Whose HL7 messages are taken: `firstread admin hl7-senders`."""
