"""Speed of the product's parts, each beside a plain version of the same arithmetic."""
