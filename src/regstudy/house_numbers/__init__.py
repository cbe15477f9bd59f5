"""House-number crops drawn by the program; see `picture.draw`. No torch here: drawing processes start quickly."""
