"""Against the node at SURETY_NODE that serves the examples' manifest."""

import os
import unittest

from surety_connector import Connector, EmitRefused, Refused


def connector(name):
    made = Connector(os.environ["SURETY_NODE"], os.environ["SURETY_TOKEN"], "greeter", name, pause=0.05)
    made.event("visited")
    return made


class IdentityTest(unittest.TestCase):
    def test_an_id_without_the_field_ends_the_connector_before_it_emits(self):
        ends = connector("identity")
        ends.identity("visited", "visitor")
        ends.start()
        with self.assertRaisesRegex(Refused, r"event visited: found the id \[number\].* includes `visitor`"):
            ends.emit("visited", {"number": 7, "visitor": "Eve"})
        with self.assertRaises(Refused):
            ends.wait()

    def test_an_id_with_it_serves(self):
        serves = connector("identity")
        serves.identity("visited", "number")
        serves.start()
        self.assertRegex(serves.emit("visited", {"number": 8, "visitor": "Ada"}), "^0x[0-9a-f]{64}$")
        with self.assertRaises(EmitRefused):
            serves.emit("visited", {"number": 8, "visitor": "Eve"})
        serves.stop()
        serves.wait()

    def test_two_of_one_name_slow_down_and_say_so_once(self):
        with self.assertLogs("surety_connector", "ERROR") as logs:
            one, two = connector("twice"), connector("twice")
            one.start()
            one.emit("visited", {"number": 9, "visitor": "Ada"})
            two.start()
            # Both come back, whoever is ended: nothing that is emitted is lost.
            for number in range(10, 14):
                (one if number % 2 else two).emit("visited", {"number": number, "visitor": "Ada"})
            for made in (one, two):
                made.stop()
                made.wait()
        told = [line for line in logs.output if "another process" in line]
        self.assertIn(len(told), (1, 2), logs.output)
