"""What a patient allows a study to be used for beyond their own care."""
