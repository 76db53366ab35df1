"""What is known of refused calls afterwards: under which reference, why, how many, and of models without a price."""
