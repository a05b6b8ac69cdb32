"""The command line, one small file a command. What a command needs is imported once it runs."""
