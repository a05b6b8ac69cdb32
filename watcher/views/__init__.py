"""What a person or a program is shown of a model: the same words and values for the command line and the page."""
