"""The runtime of the bot: one GPU shared step by step, the database, delivery."""
