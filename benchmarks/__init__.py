"""What the budget costs: ratios measured in one run, on one machine, against a bare PING."""
