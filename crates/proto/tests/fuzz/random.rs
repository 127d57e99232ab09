//! Reproducible randomness.

use std::fmt;

/// Numbers that look random and come again with the same seed (xorshift64*).
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAIRLEAD_FUZZ_SEED={} FAIRLEAD_FUZZ_ROUNDS=1", self.seed)
    }
}

/// One source of numbers for each round.
pub(crate) fn rounds(by_default: u64) -> impl Iterator<Item = Random> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("FAIRLEAD_FUZZ_SEED").unwrap_or(1);
    let count = number("FAIRLEAD_FUZZ_ROUNDS").unwrap_or(by_default);
    (first..first.saturating_add(count)).map(Random::new)
}

impl Random {
    fn new(seed: u64) -> Self {
        // Spreads small seeds over all bits; zero would stay zero for ever.
        Self { seed, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// 0..limit, and 0 where the limit is 0.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let number = self.next() >> 33;
        u32::try_from(number % u64::from(limit.max(1))).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = self.below(u32::try_from(choices.len()).unwrap_or(1));
        choices.get(place as usize).expect("something to choose from")
    }

    /// Numbers near the ends of their ranges more often than others.
    pub(crate) fn extreme(&mut self) -> u64 {
        let ends = [0, 1, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        if self.one_in(2) { *self.pick(&ends) } else { self.next() >> self.below(64) }
    }

    /// Changes some bytes.
    pub(crate) fn damage(&mut self, bytes: &mut [u8]) {
        for _ in 0..self.below(3) + 1 {
            let place = self.below(u32::try_from(bytes.len()).unwrap_or(0)) as usize;
            let value = self.byte();
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
    }

    /// Cuts bytes into pieces of any length.
    pub(crate) fn cut<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() && !self.one_in(3) {
            let at = self.below(u32::try_from(bytes.len()).unwrap_or(0)) as usize;
            let (piece, rest) = bytes.split_at(at);
            pieces.push(piece);
            bytes = rest;
        }
        pieces.push(bytes);
        pieces
    }
}
