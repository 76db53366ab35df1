"""The pictures of the README: a site whose clock stands still after a month of spend, and what is shown of it."""
