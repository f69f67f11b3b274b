"""ubscore."""
