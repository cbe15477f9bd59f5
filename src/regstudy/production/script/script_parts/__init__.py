"""The script as a whole: what no other module of ours can give, written to be read in a file of its own."""
