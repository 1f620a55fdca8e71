"""Associations of pynetdicom between two operations.

An operation pauses the association's own thread, which else reads what comes. That thread notes late that it goes on
again: an operation begun right after another takes it for paused, and loses its answer to it.
"""

import time


def rested(association):
    """The association, once its own thread has let go of the last operation."""
    while association.is_alive() and association._is_paused:
        time.sleep(0.001)
    return association
