//! Chance from a seed: the same seed makes the same choices. (What comes of them depends on the scheduler still.)

use std::time::Duration;

/// A stream of random numbers: `SplitMix64`, by Steele, Lea and Flood.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Starts the stream that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is small.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True this many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time up to 2 to the power of `magnitude_max` microseconds; short ones are as likely as long ones.
    pub fn time(&mut self, magnitude_max: u64) -> Duration {
        let magnitude = self.below(magnitude_max + 1);
        Duration::from_micros(self.below(1 << magnitude))
    }
}
