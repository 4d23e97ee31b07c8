"""The arena: search engines compared on tables of finished trainings, so that nothing is trained."""
