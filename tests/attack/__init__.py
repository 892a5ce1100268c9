"""Attacks on the running production app: what strangers, and thieves of the webhook secret, can make it do."""
