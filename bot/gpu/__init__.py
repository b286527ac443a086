"""The GPU scheduler: who may touch the device next, for one step at a time."""
