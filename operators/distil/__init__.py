"""Teachers' scores to training targets, and tables to the files that trainers read."""
