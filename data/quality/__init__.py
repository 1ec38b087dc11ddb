"""Whether images will do, said while the patient is still there."""
