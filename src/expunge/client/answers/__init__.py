"""The answers of the service, as typed dictionaries: a file for each kind of thing."""
