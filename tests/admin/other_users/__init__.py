"""A project whose users log in with their address, have a UUID, and are unknown to the admin."""
