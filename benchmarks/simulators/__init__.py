"""The simulator beside its peers for asyncio, simloom, simloop and seedloop: the same programs in one run."""
