"""Learning from the studio what a detector gets wrong, and correcting it: films, training, the file that ships."""
