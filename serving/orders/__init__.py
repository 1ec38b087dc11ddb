"""Orders by HL7 v2 and FHIR: what was asked for, how urgent it is, and why."""
