"""How long a connector waits before it registers again; the same as the Rust SDK's."""

MOST = 30  # longest pause, in first pauses


class Pauses:
    """Pauses that double from the first to MOST times as long.

    A node that was there starts them anew; another process that takes over the connector's name doesn't, however often
    it is registered in between: else the two would end each other's sessions as fast as they can.
    """

    def __init__(self, first):
        self._first = first
        self._absent = first  # while there is no node
        self._rival = first  # while there is another connector of the name
        self._rival_told = False

    def first_rival(self):
        """Whether nobody has been told of the other process yet."""
        told, self._rival_told = self._rival_told, True
        return not told

    def absent(self):
        """The node did not take the registration, or is not there."""
        pause, self._absent = self._absent, self._longer(self._absent)
        return pause

    def lost(self):
        """The connector was registered, and then the node went away."""
        self._rival = self._first
        self._absent = self._longer(self._first)
        return self._first

    def taken_over(self):
        """The connector was registered, and then another one under its name."""
        self._absent = self._first
        pause, self._rival = self._rival, self._longer(self._rival)
        return pause

    def _longer(self, pause):
        return min(2 * pause, MOST * self._first)
