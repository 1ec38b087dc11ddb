"""What could not be taken: kept with its reason, shown, corrected, taken in again or discarded."""
