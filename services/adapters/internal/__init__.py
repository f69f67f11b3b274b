"""What the processes of one exchange ask each other."""
