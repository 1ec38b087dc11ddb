"""Reading: who takes which study, what they decide, and what is signed."""
