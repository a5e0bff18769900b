"""One import, from the claim of its run to the one transaction that ends it; its SQL.

Knows neither the admin nor the workers that call it, and nothing of what happens to a run afterwards
(upkeep).
"""
