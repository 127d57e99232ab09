"""What has gone wrong with io_contexts, or could: each a small play for the model."""
