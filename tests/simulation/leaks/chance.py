"""Leaks of chance."""

from __future__ import annotations

import os
import random
import secrets
import uuid
from random import randint
from random import random as chance

from regrove.node.core.context import Context
from tests.simulation.leaks.planting import Planted

_numbers = random.Random()


class RandomFloat(Planted):
    def read(self, ctx: Context) -> object:
        return random.random()  # LEAK


class RandomAlias(Planted):
    def read(self, ctx: Context) -> object:
        return chance()  # LEAK


class RandomInt(Planted):
    def read(self, ctx: Context) -> object:
        return randint(1, 1_000_000)  # LEAK


class RandomChoice(Planted):
    def read(self, ctx: Context) -> object:
        return random.choice(range(1_000_000))  # LEAK


class RandomShuffle(Planted):
    def read(self, ctx: Context) -> object:
        numbers = list(range(20))
        random.shuffle(numbers)  # LEAK
        return numbers


class UnseededGenerator(Planted):
    def __init__(self) -> None:
        self.numbers = random.Random()  # LEAK

    def read(self, ctx: Context) -> object:
        return self.numbers.random()


class GeneratorOfTheModule(Planted):
    def read(self, ctx: Context) -> object:
        return _numbers.random()  # LEAK


class SystemRandom(Planted):
    def read(self, ctx: Context) -> object:
        return random.SystemRandom().random()  # LEAK


class Secrets(Planted):
    def read(self, ctx: Context) -> object:
        return secrets.token_hex(8)  # LEAK


class SecretNumber(Planted):
    def read(self, ctx: Context) -> object:
        return secrets.randbelow(1_000_000)  # LEAK


class Uuid1(Planted):
    def read(self, ctx: Context) -> object:
        return uuid.uuid1()  # LEAK


class Uuid4(Planted):
    def read(self, ctx: Context) -> object:
        return uuid.uuid4()  # LEAK


class Urandom(Planted):
    def read(self, ctx: Context) -> object:
        return os.urandom(4).hex()  # LEAK
