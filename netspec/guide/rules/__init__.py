"""The rules: each decides one thing, and says after whom."""
