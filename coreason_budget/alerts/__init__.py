"""Mails to those who pay, where an account passes a threshold or a window has its first refusal."""
