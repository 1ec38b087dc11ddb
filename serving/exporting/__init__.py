"""Images that leave the house without their patients."""
