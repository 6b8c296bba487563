"""The one error that a user is meant to read."""


class UserError(Exception):
    """Something the user can mend. The message names the file, what was expected, what was found and what to do.

    The command line prints it as one line and exits with status 1; any other exception is a bug and shows
    its traceback.
    """
