"""The same as the test of the Rust SDK's pauses."""

import unittest

from surety_connector.pauses import Pauses


class PausesTest(unittest.TestCase):
    def test_another_process_of_the_name_is_told_once_and_makes_pauses_grow(self):
        pauses = Pauses(1)
        found = [(pauses.first_rival(), pauses.taken_over()) for _ in range(7)]
        self.assertEqual([told for told, _ in found], [True] + 6 * [False])
        self.assertEqual([pause for _, pause in found], [1, 2, 4, 8, 16, 30, 30])
        self.assertEqual([pauses.lost(), pauses.absent(), pauses.taken_over()], [1, 2, 1])
        self.assertFalse(pauses.first_rival())
