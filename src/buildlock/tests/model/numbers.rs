//! Sets of small numbers, as a word of bits: a search clones and hashes millions of them.

use std::fmt;

use buildlock::queue::Ticket;

/// A set of numbers below 32: tickets, or members of a cast.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Numbers(u32);

impl Numbers {
    pub(crate) fn has(self, number: impl Into<Number>) -> bool {
        self.0 & number.into().bit() != 0
    }

    pub(crate) fn add(&mut self, number: impl Into<Number>) {
        self.0 |= number.into().bit();
    }

    pub(crate) fn remove(&mut self, number: impl Into<Number>) {
        self.0 &= !number.into().bit();
    }

    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn tickets(self) -> impl Iterator<Item = Ticket> {
        (0..32).filter(move |n| self.0 & (1 << n) != 0).map(Ticket)
    }
}

/// A number that a set can hold.
#[derive(Clone, Copy)]
pub(crate) struct Number(u64);

impl Number {
    fn bit(self) -> u32 {
        assert!(self.0 < 32, "a cast is too large for its sets of numbers");
        1 << self.0
    }
}

impl From<Ticket> for Number {
    fn from(ticket: Ticket) -> Self {
        Self(ticket.0)
    }
}

impl From<usize> for Number {
    fn from(member: usize) -> Self {
        Self(member as u64)
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tickets().map(|t| t.0)).finish()
    }
}
